/* A store that a test opens, closes and asks. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <semaphore.h>

#include "store.h"

/* A kind of store as the tests have it. */
struct store_under_test {
    const char *name;
    void (*make_url)(char *url, size_t n); /* of a new, empty store */
    void (*remove)(const char *url);       /* with all that is in it; it is closed */
};

extern const struct store_under_test sqlite_under_test;

struct store_fixture {
    const struct store_under_test *kind;
    char url[128];
    const char *dir; /* sqlite: in url */
    struct store *store;
    sem_t wake;
};
extern struct store_fixture fx;

/* Before and after a test: a new store of fx.kind, open. */
int store_setup(void **state);
int store_teardown(void **state);
/* Opens the store again that was closed with store_close. */
void store_reopen(void);

struct store_done *store_next_done(void);
/* Submits a unit and waits for it. */
enum store_status store_commit(struct store_unit *u);
/* Asks and waits for the answer. */
struct store_done *store_answer(struct store_query q);

/* A job's id; ids are in the order of n. */
struct fm_id store_job_id(uint8_t n);
/* Puts a job with the label team=even or team=odd, by n; one that is RUNNING is on host "h". */
void store_put_some_job(struct store_unit *u, uint8_t n, int status, bool is_new, const char *head);

#endif
