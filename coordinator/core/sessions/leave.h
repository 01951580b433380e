/* How hosts leave: their streams end, they are drained, or they are lost. */
#ifndef FM_CORE_SESSIONS_LEAVE_H
#define FM_CORE_SESSIONS_LEAVE_H

#include <stdint.h>

#include "err.h"

struct conn;
struct core;
struct host;
struct op;

/* Gives all its jobs to others. */
void host_requeue_all(struct core *c, struct host *h, const char *why);
/* Ends its stream, gives its jobs to others, forgets it. */
void host_lost(struct core *c, struct host *h, const char *why);
/* The host is gone: its jobs are elsewhere. Before host_remove. */
void mark_left(struct core *c, struct host *h);
/* Forgets hosts that are not there and about which nothing is to be remembered. */
void marks_sweep(struct core *c);
/* Answers DrainHost calls whose host is empty or whose time is over. */
void drain_look(struct core *c, struct host *h);
/* The stream is gone. */
void session_closed(struct core *c, uint64_t conn);
/* Forgets the stream; ends it with an error (of a host by this name, in the log); the host behind it
 * stays until its lease ends. */
void conn_free(struct core *c, struct conn *k);
void conn_end(struct core *c, struct conn *k, const char *host_id, struct fm_err *err);
void conn_close(struct core *c, struct conn *k, struct fm_err *err);
/* Answers a DrainHost call, when that is on disk. */
void drain_answer(struct core *c, struct host *h, const struct op *op);
/* The call waits until the host has no job, or until then. */
void drain_wait(struct host *h, struct op *op, int64_t due_ms);
int64_t drain_due_ms(const struct op *op);
/* Ends the streams of all hosts. */
void sessions_end(struct core *c, const struct fm_err *err);

#endif
