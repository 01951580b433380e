/* The hosts' engines in the simulation, and the streams between them and the core. */
#ifndef SIM_HOSTS_H
#define SIM_HOSTS_H

#include "sim.h"

struct conn *conn_find(uint64_t id);
/* How long the next message on the stream travels; `last` is when the one before it arrives. */
int64_t travel(int64_t *last, const struct conn *k);
void close_host_side(struct conn *k, int64_t ms);
void close_core_side(struct conn *k, int64_t ms);
/* Forgets a stream that both sides have ended. */
void conn_drop(struct conn *k);
void start_host(size_t i);
void crash_host(size_t i);
/* One of its tasks ends it, if that is still at work. */
void kill_host(size_t i);
/* The end of a host that has drained itself. */
void stop_host(size_t i);
void connect_host(size_t i);
/* The conditions that an engine has asked about have come out so. */
void host_verdict(struct sim_host *h, const struct event *e);
void host_sees_close(struct event *e);

#endif
