/* Sizes that more than one file must agree on. */
#ifndef FM_SIZE_LIMITS_H
#define FM_SIZE_LIMITS_H

#define LIMIT_REQUEST_BYTES (4u * 1024 * 1024)          /* a client's request */
#define LIMIT_STREAM_BYTES (20u * 1024 * 1024)          /* any message: one from a host */
#define LIMIT_ARENA_BYTES (128u * 1024 * 1024)          /* what a decoded message may take */
#define LIMIT_HOST_QUEUE_BYTES (64u * 1024 * 1024)      /* waits for a host that does not read; then its stream is ended */
#define LIMIT_WATCH_QUEUE_BYTES (256u * 1024)           /* waits for a watcher; then it gets no more until it has read */

#endif
