/* Request ids of existing jobs: a call that is repeated has its effect once. */
#include "request_id.h"

#include <string.h>

#include <utlist.h>

#include "buf.h"
#include "digest.h"
#include "err.h"
#include "job.h"
#include "mem.h"
#include "method.h"
#include "op.h"
#include "pbc.h"
#include "query.h"
#include "state.h"
#include "store.h"
#include "unit.h"

static void on_request_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    struct fm_err err = {0};
    if (d->status == STORE_NOT_FOUND) {
        op->request_checked = true;
        op_run(c, op);
        return;
    }
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    uint8_t digest[STORE_DIGEST_BYTES];
    core_request_digest(op->request, digest);
    if (memcmp(digest, d->claim.digest, STORE_DIGEST_BYTES) == 0) {
        op_reply_bytes(c, op, d->claim.reply);
        return;
    }
    (void)fm_err_set(&err, FM_ALREADY_EXISTS, "request_id",
                     "this request_id was used before with other content; take a new one");
    op_fail(c, op, &err);
}

int request_look_up(struct core *c, struct op *op, const char *scope, const char *request_id, struct job *job)
{
    if (request_id[0] == '\0')
        return 0;
    if (job->next != NULL || job->inflight != NULL) {
        op_park(op); /* one claim in a unit, and no look-up that a unit under way could outdate */
        op->request_checked = false;
        DL_APPEND(job->ops, op);
        return OP_WAITS;
    }
    if (op->request_checked && op->request_revision == job->head->revision)
        return 0;
    op->request_checked = false; /* or a unit that may have claimed it has overtaken the answer */
    op->request_revision = job->head->revision;
    core_read(c, store_read_request(scope, request_id), on_request_read, op);
    return OP_WAITS;
}

void request_claim(struct job *job, const struct op *op, const char *scope, const char *request_id,
                   const ProtobufCMessage *response, struct unit *m)
{
    if (request_id[0] == '\0')
        return;
    fm_auto(fm_buf) reply = {0};
    pb_pack(response, &reply);
    core_request_digest(op->request, m->request_digest);
    m->request_ticket = op->ticket;
    store_put_request(m->records, scope, request_id, m->request_digest, &job->id, fm_buf_bytes(&reply));
}
