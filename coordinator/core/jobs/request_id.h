/* Request ids of calls about existing jobs: a call that is repeated has its effect once, and gets the
 * first reply again. */
#ifndef FM_CORE_REQUEST_ID_H
#define FM_CORE_REQUEST_ID_H

#include <protobuf-c/protobuf-c.h>

struct core;
struct job;
struct op;
struct unit;

/* 0 when the request id is new, or there is none (""); OP_WAITS: the op is parked, or will be answered
 * with the first reply. `scope` tells jobs and methods apart. */
int request_look_up(struct core *c, struct op *op, const char *scope, const char *request_id,
                    struct job *job);
/* Claims the id with the response, in the unit; nothing for an empty id. */
void request_claim(struct job *job, const struct op *op, const char *scope, const char *request_id,
                   const ProtobufCMessage *response, struct unit *u);

#endif
