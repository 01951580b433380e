/* What tests of hostile clients share: a coordinator with one host, and what must hold while and after each
 * attack: it is up, other clients are served, its memory stays below a bound, its descriptors come back. */
#ifndef FM_TEST_ATTACK_H
#define FM_TEST_ATTACK_H

#include "cluster.h"

#define ATTACK_GET_JOB "/fermata.v1.Jobs/GetJob"
#define ATTACK_ATTACH "/fermata.v1.HostAgent/Attach"
#define ATTACK_REFLECT "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"

/* A sanitizer's allocator keeps what was freed, and adds to everything. */
#define ATTACK_MEMORY_FACTOR (TEST_SANITIZED ? 8 : 1)

extern struct cluster attacked;
extern char attacked_job[32]; /* that is there, and completed */

/* Of the group, and of each test: what a sanitizer keeps of one attack must not count for the next. */
int attack_setup(void **state);
int attack_teardown(void **state);
int attack_own_coordinator(void **state);
/* Another coordinator, with these further arguments. */
void attack_restart(const char *const more[]);

/* From here on memory and descriptors are counted. */
void attack_begin(void);
/* Somebody else is served, and all is as it was; at most so much memory was taken since the beginning. */
void attack_end(const char *what, size_t mib);
/* Somebody else submits a job and sees it done. Every call has a deadline. */
void attack_others_are_served(void);
size_t attack_open_files(void);

void attack_close_all(const int *fds, size_t n);
/* Sending gives up soon when nothing is taken. */
void attack_be_impatient(int fd);
/* GetJobRequest{job_id} of the job that is there; returns its length. */
size_t attack_get_job(uint8_t out[64]);
/* A connection with the headers of a request on stream 1; content_type NULL is gRPC's. */
int attack_open_call(const char *path, const char *content_type);
/* The call on stream 1 of a fresh connection must end with this status. Closes it. */
void attack_status_is(int fd, const char *number);
/* The server ends the connection, or the stream, by itself. Closes it. */
void attack_is_turned_away(int fd);

#endif
