/* A thread on which jq programs and JSON Schemas of requests, or answers, are checked, one request after the
 * other. */
#ifndef FM_SVC_CHECK_H
#define FM_SVC_CHECK_H

#include "program_check.h"

struct checker;

/* Starts the thread. `notify` is called on it when there is something to poll. */
struct checker *checker_new(void (*notify)(void *arg), void *arg);
/* Takes ownership. */
void checker_add(struct checker *k, struct program_check *check);
/* The next that has been checked, or NULL. */
struct program_check *checker_poll(struct checker *k);
/* Ends the thread after the program that it checks just now; what waits is dropped. */
void checker_free(struct checker *k);

#endif
