/* A method that clients call, as one row of a table: everything about it stands in the file that
 * implements it. The server, the core, admission, reflection and documentation read the same rows
 * (core/methods/methods_table.c lists them). */
#ifndef FM_CORE_METHOD_H
#define FM_CORE_METHOD_H

#include <protobuf-c/protobuf-c.h>

#include "err.h"
#include "principal.h"

struct core;
struct op;

enum method_kind {
    METHOD_UNARY, /* one response */
    METHOD_STREAM /* the server sends until the call ends */
};

/* What the call adds when it is accepted; a full coordinator refuses what would add more. */
enum method_admission {
    ADMIT_ALWAYS, /* nothing that stays, or it makes room */
    ADMIT_INPUT,  /* data of a job: refused while active jobs and waiting requests are too large */
    ADMIT_JOB     /* a job: refused, too, while too many jobs wait for hosts */
};

/* Who may call it; checked by whoever knows who calls (server/access.c), before anything is decoded. What a
 * role may besides is checked by the method. */
enum method_role {
    ROLE_VIEWER,    /* sees */
    ROLE_RESPONDER, /* answers questions to people, and claims them */
    ROLE_SUBMITTER, /* starts jobs of stored flows */
    ROLE_AUTHOR,    /* decides what runs on hosts: flows */
    ROLE_OPERATOR,  /* remedies, hosts, deletes */
    ROLE_HOST       /* a host daemon or its supervisor */
};

/* Who calls, and which of these may be called: RIGHT of each. */
struct caller {
    struct fm_principal who;
    unsigned rights;
};
#define RIGHT(role) (1u << (role))
#define ALL_RIGHTS (RIGHT(ROLE_HOST + 1) - 1)

/* A handler returns this when the op waits: it is parked on a list or with a query, or was handed on;
 * whoever has it runs it again or ends it. */
#define OP_WAITS 1

struct method {
    const char *name; /* "Jobs/SubmitJob" */
    enum method_kind kind;
    const ProtobufCMessageDescriptor *request;  /* NULL: a call of the core's own, with values in
                                                   op->own */
    const ProtobufCMessageDescriptor *response; /* what a client is sent; NULL with `request` */
    enum method_role role;
    enum method_admission admit;
    /* Handles the op. 0: it is done (answered, or its unit answers it), and the frame frees it;
     * OP_WAITS; or -code with err: the frame answers with the error. A handler that lacks something
     * parks the op and is run again from the beginning. */
    int (*run)(struct core *c, struct op *op, struct fm_err *err);
    /* Frees op->own; NULL: free(). Never called for NULL. */
    void (*own_free)(struct core *c, void *own);
};

#endif
