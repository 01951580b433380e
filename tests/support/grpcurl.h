/* grpcurl as a client that nobody here wrote. */
#ifndef FM_TEST_GRPCURL_H
#define FM_TEST_GRPCURL_H

#include <jansson.h>

#include "json_text.h"
#include "proc.h"

/* Calls a method ("Jobs/GetJob", or a full name with a dot in it) with a JSON request made by printf
 * (json_text.h). The call must succeed; the (first) response is returned for json_decref. */
json_t *rpc(const char *address, const char *method, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The call must fail with this code ("InvalidArgument"); its whole error text (details included) is returned
 * for free(). */
char *rpc_fails(const char *address, const char *method, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Starts a call and goes on: p has what it says, of which rpc_hear reads; its end is for proc_wait. What it
 * complains of goes to err_file. */
void rpc_start(struct proc *p, const char *err_file, const char *address, const char *method, const char *fmt,
               ...) __attribute__((format(printf, 5, 6)));
/* The same with a stream of requests, which rpc_say sends. */
void rpc_talk(struct proc *p, const char *err_file, const char *address, const char *method);
void rpc_say(struct proc *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Reads lines until one has this piece of JSON: "'epoch': 2". */
void rpc_hear(struct proc *p, const char *text);
/* Runs grpcurl with these arguments (NULL-terminated); standard output for free(). It must exit with 0. */
char *grpcurl(const char *const args[]);
/* How it connects, as words for a shell: "-plaintext", or its certificate. */
const char *grpcurl_way(void);
/* Path of grpcurl. */
const char *grpcurl_program(void);
/* All responses of a stream as an array. */
json_t *rpc_stream_all(const char *address, const char *method, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The text at a path such as "job.pauses[0].pauseId"; "" when there is none. Numbers as text. The result is
 * valid until the fourth call from here. */
const char *at(json_t *j, const char *path);
json_t *json_at(json_t *j, const char *path);

#endif
