/* Sizes that more than one file must agree on. */
#ifndef FM_SIZE_LIMITS_H
#define FM_SIZE_LIMITS_H

/* A client's request. */
#define LIMIT_REQUEST_BYTES (4u * 1024 * 1024)
/* How deeply a client's request may be nested and how many elements it may have. Stricter than what is taken
 * from hosts (wire_limits_for), so that whatever was accepted can be wrapped, copied into a state and handed
 * on without meeting a limit on the way. */
#define LIMIT_REQUEST_DEPTH 64
#define LIMIT_REQUEST_ELEMENTS 300000
/* What a decoded message may take. */
#define LIMIT_ARENA_BYTES (128u * 1024 * 1024)
/* What may wait for a host that does not read; then its stream is broken off. */
#define LIMIT_HOST_QUEUE_BYTES (64u * 1024 * 1024)
/* Calls of clients that may be open, and how many streams of hosts beyond them: a crowd of clients does not
 * lock the hosts out. */
#define LIMIT_OPEN_CALLS 20000u
#define LIMIT_HOST_STREAMS 4096u
/* What may wait for a watcher; then it gets no more until it has read. */
#define LIMIT_WATCH_QUEUE_BYTES (256u * 1024)

#endif
