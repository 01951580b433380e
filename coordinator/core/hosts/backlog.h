/* Messages of hosts that wait for the next turn of the loop: steps can be many, and a turn is to be short
 * (sessions/steps.h). The streams that have such take turns, each with its messages in order. While some
 * wait, no more is read of their stream, and its host counts as heard. */
#ifndef FM_CORE_HOSTS_BACKLOG_H
#define FM_CORE_HOSTS_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "fermata/v1/host_agent.pb-c.h"

struct core;
struct conn;

/* A message that waits. */
struct said {
    struct said *prev, *next;
    struct fm_arena arena;
    Fermata__V1__HostMessage *message; /* in it */
    bool begun;                        /* it is a batch of steps, of which the first have been taken */
    size_t step;                       /* the next of those */
};

/* Has a copy of the message wait behind those of its stream. */
void backlog_add(struct core *c, struct conn *k, const Fermata__V1__HostMessage *m);
/* The same for the steps of a batch from number `step`, before those of its stream. */
void backlog_add_rest(struct core *c, struct conn *k, const Fermata__V1__StepBatch *b, size_t step);

/* Takes the next message out; NULL: none waits. *ret_k is its stream, and stands behind the others now. */
struct said *backlog_next(struct core *c, struct conn **ret_k);
/* Puts it back, first of its stream. */
void backlog_return(struct core *c, struct conn *k, struct said *s);
void said_free(struct said *s);

/* What is left of the stream's messages is forgotten. */
void backlog_drop(struct core *c, struct conn *k);

/* When the next turn is to be; -1: nothing waits. */
int64_t backlog_deadline(const struct core *c);

#endif
