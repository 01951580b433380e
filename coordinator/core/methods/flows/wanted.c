/* The flow that a submit wants: given with it, or a stored one. */
#include "wanted.h"

#include <stdlib.h>

#include "breakpoint_check.h"
#include "buf.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "flow.h"
#include "mem.h"
#include "method.h"
#include "op.h"
#include "program_check.h"
#include "programs.h"
#include "query.h"
#include "routine_types.h"
#include "state.h"
#include "store.h"

#define KEPT_FLOW_BYTES 65536 /* larger ones are decoded for each submit */

int flow_check(struct core *c, struct op *op, const Fermata__V1__Flow *flow, const char *path,
               enum flow_use use, struct fm_err *err)
{
    struct flow_types known = {types_find, c};
    struct program_check *programs = program_check_new();
    int rc = flow_validate(flow, path, use, &known, programs, err);
    if (op->method == c->submit) { /* checked together: a request has one check */
        const Fermata__V1__SubmitJobRequest *r = OP_REQUEST(op, Fermata__V1__SubmitJobRequest);
        breakpoints_add_conditions(programs, r->n_breakpoints, r->breakpoints);
    }
    if (!programs_checked(c, op, programs, err))
        return OP_WAITS;
    return err->code == FM_OK ? rc : -(int)err->code;
}

/* What SubmitJob keeps between two runs: what was read for it. */
struct flow_wanted {
    struct flow_def *def;              /* a reference */
    struct store_flow_version version; /* without the definition */
};

void flow_wanted_free(struct core *c, void *own)
{
    struct flow_wanted *w = own;
    if (w->def != NULL)
        def_unref(c, w->def);
    free(w);
}

static int check_entry(struct core *c, const Fermata__V1__Flow *flow, const Fermata__V1__SubmitJobRequest *r,
                       struct fm_err *err)
{
    struct flow_types known = {types_find, c};
    return flow_check_entry(flow, "entry", r->entry->routine, r->entry->slot, r->data, &known, err);
}

static int inline_def(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                      struct flow_def **ret, struct fm_err *err)
{
    int rc = flow_check(c, op, r->inline_flow, "inline_flow", FLOW_INLINE, err);
    if (rc == 0)
        rc = check_entry(c, r->inline_flow, r, err);
    if (rc != 0)
        return rc;
    fm_auto(fm_buf) body = {0};
    uint8_t digest[STORE_DIGEST_BYTES];
    flow_encode(r->inline_flow, &body, digest);
    *ret = def_add(c, r->inline_flow, fm_buf_bytes(&body), digest, false);
    return 0;
}

/* The definition a submit named was read: kept in memory until the op has run again. */
static void on_def_for_submit(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__SubmitJobRequest *r = OP_REQUEST(op, Fermata__V1__SubmitJobRequest);
    struct fm_err err = {0};
    Fermata__V1__Flow *flow =
        d->status == STORE_OK ? fermata__v1__flow__unpack(NULL, d->flow.definition.n, d->flow.definition.p)
                              : NULL;
    if (flow == NULL) {
        if (d->status == STORE_NOT_FOUND)
            (void)fm_err_set(&err, FM_NOT_FOUND, "flow", "there is no flow \"%s\"%s", r->flow,
                             r->flow_version > 0 ? " of this version" : "");
        else if (d->status == STORE_OK)
            (void)fm_err_set(&err, FM_DATA_LOSS, "flow", "the stored flow \"%s\" is malformed", r->flow);
        op_fail(c, op, d->status == STORE_FAILED ? &d->err : &err);
        return;
    }
    struct flow_wanted *own = op_own(op, sizeof(*own));
    own->def = def_add(c, flow, d->flow.definition, d->flow.digest, true);
    own->version = d->flow;
    own->version.definition = FM_NO_BYTES;
    fermata__v1__flow__free_unpacked(flow, NULL);
    op_run(c, op);
}

static int check_def_entry(struct core *c, struct flow_def *def, const Fermata__V1__SubmitJobRequest *r,
                           struct fm_err *err)
{
    if (def->flow != NULL)
        return check_entry(c, def->flow, r, err);
    Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, def->body.n, def->body.p);
    if (flow == NULL)
        fm_abort("a flow in memory does not decode");
    int rc = check_entry(c, flow, r, err);
    if (def->body.n <= KEPT_FLOW_BYTES)
        def->flow = flow;
    else
        fermata__v1__flow__free_unpacked(flow, NULL);
    return rc;
}

static int named_def(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                     struct flow_def **ret, uint32_t *ret_version, struct fm_err *err)
{
    struct flow_wanted *own = op->own;
    struct flow_name *n = name_find(c, r->flow);
    struct flow_def *def = NULL;
    if (own != NULL && own->def != NULL) {
        def = own->def;
        own->def = NULL;
        *ret_version = own->version.version;
        if (r->flow_version == 0 && n == NULL)
            name_set(c, r->flow, &own->version);
    } else if (n != NULL && n->version > 0 && (r->flow_version == 0 || r->flow_version == n->version)) {
        def = def_find(c, n->digest);
        *ret_version = n->version;
    }
    if (def == NULL) {
        core_read(c, store_read_flow(r->flow, r->flow_version), on_def_for_submit, op);
        return OP_WAITS;
    }
    int rc = check_def_entry(c, def, r, err);
    if (rc < 0)
        def_unref(c, def);
    else
        *ret = def;
    return rc;
}

/* False while they are not, or with err. */
static bool conditions_checked(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                               struct fm_err *err)
{
    if (r->n_breakpoints == 0)
        return true;
    struct program_check *k = program_check_new();
    breakpoints_add_conditions(k, r->n_breakpoints, r->breakpoints);
    return programs_checked(c, op, k, err) && err->code == FM_OK;
}

int flow_for_submit(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                    struct flow_def **ret, const char **ret_name, uint32_t *ret_version, struct fm_err *err)
{
    *ret_name = r->flow;
    if (r->inline_flow == NULL && !conditions_checked(c, op, r, err))
        return err->code != FM_OK ? -(int)err->code : OP_WAITS;
    if (r->inline_flow == NULL)
        return named_def(c, op, r, ret, ret_version, err);
    *ret_name = r->inline_flow->name;
    *ret_version = 0;
    return inline_def(c, op, r, ret, err);
}
