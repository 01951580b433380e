/* A client's request that is being worked on, and calls that the core makes of itself. */
#ifndef FM_CORE_OP_H
#define FM_CORE_OP_H

#include <stdbool.h>

#include <protobuf-c/protobuf-c.h>
#include <uthash.h>

#include "buf.h"
#include "err.h"
#include "id.h"
#include "method.h"

struct job;
struct program_check;
struct inner;

/* It may be parked (on a list, or with a query) and run again: handlers start from the beginning and
 * park it until what they need is in memory. */
struct op {
    struct op *prev, *next;
    uint64_t ticket;
    struct caller caller; /* of a call of the core's own: everybody's rights, and no name */
    const struct method *method;
    ProtobufCMessage *request; /* own copy once parked, else the caller's */
    bool owned;
    size_t *meter;               /* where what it owns is counted; NULL: a call of the core's own */
    struct fm_bytes raw;         /* the caller's, or own once parked */
    bool request_checked;        /* the request id was looked up: it is new, … */
    uint32_t request_revision;   /* … as long as this is the revision of the job's record */
    const struct inner *inner;   /* who called, of a call of the core's own; NULL: a client */
    struct program_check *check; /* its jq programs and schemas: they were checked */
    void *own;                   /* the method's, freed by its own_free */
    struct job **used;           /* where the frame looks for the job that the handler had */
};
#define OP_REQUEST(op, Type) ((const Type *)(const void *)(op)->request)

/* Runs it from the beginning; afterwards it may be gone. */
void op_run(struct core *c, struct op *op);
/* Answers the client; a handler that has done so returns 0. */
void op_answer(struct core *c, const struct op *op, const ProtobufCMessage *response);
/* Ends it outside of a handler (when a query or a wait is over): with a message, with bytes, with an
 * error. */
void op_reply(struct core *c, struct op *op, const ProtobufCMessage *response);
void op_reply_bytes(struct core *c, struct op *op, struct fm_bytes response);
void op_fail(struct core *c, struct op *op, struct fm_err *err);
void op_free(struct core *c, struct op *op);
/* Makes the op own its request, so that it can wait. */
void op_park(struct op *op);
/* Returns 0 when the caller may do what needs this role, too, or -FM_PERMISSION_DENIED; `what` is what he
 * wants: "an inline flow". */
int op_needs(const struct op *op, enum method_role role, const char *what, struct fm_err *err) FM_MUST_CHECK;
/* Returns 0, or -FM_PERMISSION_DENIED when the caller is a host, but not this one. */
int op_is_host(const struct op *op, const char *host_id, struct fm_err *err) FM_MUST_CHECK;
/* The method's own state, zeroed when there was none yet. */
void *op_own(struct op *op, size_t size);

/* Answers a ticket, a client's or one of the core's own; 0: nobody. */
void core_reply(struct core *c, uint64_t ticket, struct fm_bytes response);
void core_fail(struct core *c, uint64_t ticket, const struct fm_err *err);

/* A call that the core makes of itself, so that jobs can act on each other; its ticket has
 * INNER_TICKET set. */
struct inner {
    UT_hash_handle hh;      /* by ticket */
    UT_hash_handle by_pair; /* by parent and child, which stand together */
    uint64_t ticket;
    struct fm_id parent, child;
    uint32_t depth; /* of a child that is submitted */
    void (*done)(struct core *c, struct inner *call, const struct fm_err *err); /* err NULL: it is on disk */
};
#define INNER_TICKET (1ull << 63)

/* Calls a method as `call` says (copied). `request` may be NULL, else it is copied when the op waits;
 * `own` (may be NULL) becomes the op's. */
void core_call(struct core *c, const struct method *m, const ProtobufCMessage *request, void *own,
               const struct inner *call);
/* True while a call about these two is under way. */
bool inner_under_way(const struct core *c, const struct fm_id *parent, const struct fm_id *child);
/* Forgets all calls. */
void inner_free(struct core *c);

#endif
