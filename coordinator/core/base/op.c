/* The life of a request: it is run, waits, is run again, is answered. And calls of the core's own. */
#include "op.h"

#include <stddef.h>
#include <stdlib.h>

#include <uthash.h>

#include "buf.h"
#include "err.h"
#include "id.h"
#include "job.h"
#include "mem.h"
#include "method.h"
#include "pbc.h"
#include "program_check.h"
#include "state.h"

/* ---- tickets ---- */

#define PAIR_BYTES (2 * sizeof(struct fm_id))
_Static_assert(offsetof(struct inner, child) - offsetof(struct inner, parent) == sizeof(struct fm_id),
               "parent and child are one key");

static void inner_done(struct core *c, uint64_t ticket, const struct fm_err *err)
{
    struct inner *call;
    HASH_FIND(hh, c->inner, &ticket, sizeof(ticket), call);
    if (call == NULL)
        return;
    HASH_DEL(c->inner, call);
    HASH_DELETE(by_pair, c->inner_pairs, call);
    if (!c->stopping)
        call->done(c, call, err);
    free(call);
}

void core_reply(struct core *c, uint64_t ticket, struct fm_bytes response)
{
    if ((ticket & INNER_TICKET) != 0)
        inner_done(c, ticket, NULL);
    else if (ticket != 0)
        c->io.reply(c->io.arg, ticket, response);
}

void core_fail(struct core *c, uint64_t ticket, const struct fm_err *err)
{
    if ((ticket & INNER_TICKET) != 0)
        inner_done(c, ticket, err);
    else if (ticket != 0)
        c->io.fail(c->io.arg, ticket, err);
}

/* ---- the life of an op ---- */

void op_free(struct core *c, struct op *op)
{
    if (op->own != NULL && op->method->own_free != NULL)
        op->method->own_free(c, op->own);
    else
        free(op->own);
    program_check_free(op->check);
    if (op->owned) {
        if (op->request != NULL)
            protobuf_c_message_free_unpacked(op->request, NULL);
        free((void *)(uintptr_t)op->raw.p);
        if (op->meter != NULL)
            *op->meter -= 2 * op->raw.n;
    }
    free(op);
}

void op_fail(struct core *c, struct op *op, struct fm_err *err)
{
    core_fail(c, op->ticket, err);
    fm_err_done(err);
    op_free(c, op);
}

void op_reply_bytes(struct core *c, struct op *op, struct fm_bytes response)
{
    core_reply(c, op->ticket, response);
    op_free(c, op);
}

void op_answer(struct core *c, const struct op *op, const ProtobufCMessage *response)
{
    fm_auto(fm_buf) b = {0};
    pb_pack(response, &b);
    core_reply(c, op->ticket, fm_buf_bytes(&b));
}

void op_reply(struct core *c, struct op *op, const ProtobufCMessage *response)
{
    op_answer(c, op, response);
    op_free(c, op);
}

/* What a handler has to say, or -code: ends the op unless it waits. */
static void op_end(struct core *c, struct op *op, int rc, struct fm_err *err)
{
    if (rc < 0)
        op_fail(c, op, err);
    else if (rc != OP_WAITS)
        op_free(c, op);
}

void op_park(struct op *op)
{
    if (op->owned)
        return;
    op->raw = (struct fm_bytes){fm_xmemdup(op->raw.p, op->raw.n), op->raw.n};
    if (op->request != NULL)
        op->request = pb_clone(op->request);
    op->owned = true;
    if (op->meter != NULL)
        *op->meter += 2 * op->raw.n; /* as bytes and decoded */
}

int op_needs(const struct op *op, enum method_role role, const char *what, struct fm_err *err)
{
    static const char *const names[] = {
        [ROLE_VIEWER] = "viewer", [ROLE_RESPONDER] = "responder", [ROLE_SUBMITTER] = "submitter",
        [ROLE_AUTHOR] = "author", [ROLE_OPERATOR] = "operator",   [ROLE_HOST] = "host"};
    char text[FM_PRINCIPAL_BYTES];
    if ((op->caller.rights & RIGHT(role)) != 0)
        return 0;
    return fm_err_set(err, FM_PERMISSION_DENIED, NULL, "%s needs the role %s, which %s has not", what,
                      names[role], fm_principal_text(&op->caller.who, text));
}

int op_is_host(const struct op *op, const char *host_id, struct fm_err *err)
{
    const struct fm_principal *who = &op->caller.who;
    if (who->kind != FM_HOST || strcmp(who->name, host_id) == 0)
        return 0;
    return fm_err_set(err, FM_PERMISSION_DENIED, "host_id", "the certificate is of host %s, not of %s",
                      who->name, host_id);
}

void *op_own(struct op *op, size_t size)
{
    if (op->own == NULL)
        op->own = fm_xcalloc(1, size);
    return op->own;
}

void op_run(struct core *c, struct op *op)
{
    struct job *job = NULL;
    struct fm_err err = {0};
    op->used = &job;
    int rc = op->method->run(c, op, &err);
    op_end(c, op, rc, &err);
    if (job != NULL)
        c->job_used(c, job);
}

/* ---- calls of the core's own ---- */

void core_call(struct core *c, const struct method *m, const ProtobufCMessage *request, void *own,
               const struct inner *call)
{
    struct inner *kept = fm_xmemdup(call, sizeof(*call));
    kept->ticket = ++c->next_tag | INNER_TICKET;
    HASH_ADD(hh, c->inner, ticket, sizeof(kept->ticket), kept);
    HASH_ADD(by_pair, c->inner_pairs, parent, PAIR_BYTES, kept);
    struct op *op = fm_xcalloc(1, sizeof(*op));
    op->ticket = kept->ticket;
    op->caller = (struct caller){{.kind = FM_LOCAL}, ALL_RIGHTS};
    op->method = m;
    op->inner = kept;
    op->request = (ProtobufCMessage *)(uintptr_t)request;
    op->own = own;
    op_run(c, op);
}

bool inner_under_way(const struct core *c, const struct fm_id *parent, const struct fm_id *child)
{
    const struct fm_id pair[2] = {*parent, *child};
    const struct inner *call;
    HASH_FIND(by_pair, c->inner_pairs, pair, PAIR_BYTES, call);
    return call != NULL;
}

void inner_free(struct core *c)
{
    struct inner *call, *tmp;
    HASH_CLEAR(by_pair, c->inner_pairs);
    HASH_ITER (hh, c->inner, call, tmp) {
        HASH_DEL(c->inner, call);
        free(call);
    }
}
