/* Questions of children are shown with their parent's, and answered by way of the parent. */
#include "child_questions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "id.h"
#include "job.h"
#include "load.h"
#include "mem.h"
#include "op.h"
#include "pause.h"
#include "pbc.h"
#include "place.h"
#include "query.h"
#include "state.h"
#include "store.h"
#include "table.h"
#include "wire.h"

#define MAX_DEPTH 8

/* A job whose record is still to be read. */
struct child_ref {
    struct child_ref *prev, *next;
    struct fm_id id;
    uint32_t depth;
    char prefix[27 * MAX_DEPTH + 1]; /* "<child>/<grandchild>/" */
};

static void add_refs(struct child_questions *q, const Fermata__V1__Job *head, const struct child_ref *of)
{
    uint32_t depth = of == NULL ? 1 : of->depth + 1;
    for (size_t i = 0; i < head->n_children && depth <= MAX_DEPTH; i++) {
        struct child_ref *r = fm_xcalloc(1, sizeof(*r));
        if (fm_id_parse(head->children[i]->job_id, &r->id) < 0) {
            free(r);
            continue;
        }
        r->depth = depth;
        snprintf(r->prefix, sizeof(r->prefix), "%.*s%.26s/", 27 * (MAX_DEPTH - 1),
                 of == NULL ? "" : of->prefix, head->children[i]->job_id);
        DL_APPEND(q->todo, r);
    }
}

static void put_questions(struct child_questions *q, const Fermata__V1__Job *head, const struct child_ref *of)
{
    for (size_t i = 0; i < head->n_pauses; i++) {
        char id[sizeof(of->prefix) + 128];
        snprintf(id, sizeof(id), "%s%.63s", of->prefix, head->pauses[i]->pause_id);
        Fermata__V1__Pause p = *head->pauses[i];
        p.pause_id = id;
        pb_put(&q->pauses, FIELD_JOB_PAUSES, &p);
    }
}

static void on_child_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    struct child_questions *q = op->own;
    struct child_ref *of = q->todo;
    if (d->status == STORE_FAILED) {
        op_fail(c, op, &d->err);
        return;
    }
    DL_DELETE(q->todo, of);
    Fermata__V1__Job *head =
        d->status == STORE_OK ? fermata__v1__job__unpack(NULL, d->job.head.n, d->job.head.p) : NULL;
    if (head != NULL) { /* one that is not there yet asks nothing */
        (void)job_forget_expired_claims(head, c->wall_ms);
        put_questions(q, head, of);
        add_refs(q, head, of);
        fermata__v1__job__free_unpacked(head, NULL);
    }
    free(of);
    if (q->todo != NULL) {
        core_read(c, store_read_job(&q->todo->id, STORE_HEAD), on_child_read, op);
        return;
    }
    q->read = true;
    op_run(c, op);
}

static bool has_children(struct fm_bytes head)
{
    struct wire_reader r = wire_reader(head);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    while (wire_next(&r, &field, &type, &val, &len) > 0)
        if (field == FIELD_JOB_CHILDREN)
            return true;
    return false;
}

bool children_questions(struct core *c, struct op *op, struct fm_bytes head)
{
    struct child_questions *q = op_own(op, sizeof(*q));
    if (q->read || !has_children(head))
        return true;
    Fermata__V1__Job *h = fermata__v1__job__unpack(NULL, head.n, head.p);
    if (h == NULL)
        return true;
    add_refs(q, h, NULL);
    fermata__v1__job__free_unpacked(h, NULL);
    if (q->todo == NULL)
        return true;
    core_read(c, store_read_job(&q->todo->id, STORE_HEAD), on_child_read, op);
    return false;
}

void child_questions_free(struct core *c, void *own)
{
    struct child_questions *q = own;
    struct child_ref *r, *tmp;
    (void)c;
    DL_FOREACH_SAFE (q->todo, r, tmp)
        free(r);
    fm_buf_done(&q->pauses);
    free(q);
}

/* The field of a request that has it. */
static char **text_field(const ProtobufCMessage *request, const char *name)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor, name);
    return (char **)(void *)((uintptr_t)request + f->offset);
}

int children_forward(struct core *c, struct op *op, struct fm_err *err)
{
    for (;;) {
        const char *job_id = *text_field(op->request, "job_id");
        const char *pause_id = *text_field(op->request, "pause_id");
        const char *slash = strchr(pause_id, '/');
        if (slash == NULL)
            return 0;
        struct fm_id id, parent;
        char child_id[27] = "", named[27] = "";
        if (slash - pause_id == 26)
            memcpy(child_id, pause_id, 26);
        if (fm_id_parse(child_id, &id) < 0)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "pause_id",
                              "\"%.128s\" does not begin with the id of a child job of 26 characters",
                              pause_id);
        struct job *child;
        int rc = job_for_op(c, op, child_id, &child, err);
        if (rc != 0)
            return rc;
        if (fm_id_parse(job_id, &parent) == 0) /* either case is taken everywhere */
            fm_id_text(&parent, named);
        if (strcmp(child->head->parent, named) != 0)
            return fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id", "job %s is not a child of job %.64s",
                              child_id, job_id);
        fm_autofree char *rest = fm_xstrdup(slash + 1);
        op_park(op); /* now the request is its own */
        pb_set_string(text_field(op->request, "job_id"), child_id);
        pb_set_string(text_field(op->request, "pause_id"), rest);
        *op->used = NULL;
        job_rest(c, child);
    }
}

/* ---- the pause that is meant ---- */

#define MAX_NAMED 8 /* in an error */

static void name_pause(struct fm_buf *text, size_t i, const char *pause_id, const char *job)
{
    char one[27 * MAX_DEPTH + 128];
    if (i >= MAX_NAMED)
        return;
    int n = snprintf(one, sizeof(one), "%s%.*s of job %s", i > 0 ? ", " : "", (int)sizeof(one) - 64, pause_id,
                     job);
    fm_buf_append(text, one, (size_t)n < sizeof(one) ? (size_t)n : sizeof(one) - 1);
}

/* The id of the job whose pause this is; a child's begins with its id. */
static void job_of_pause(const char *pause_id, const struct job *parent, char ret[27])
{
    const char *slash = strrchr(pause_id, '/');
    snprintf(ret, 27, "%.26s", slash == NULL || slash - pause_id < 26 ? parent->text : slash - 26);
}

static int several(const struct job *job, const Fermata__V1__Job *children, struct fm_err *err)
{
    fm_auto(fm_buf) text = {0};
    size_t own = job->head->n_pauses, n = own + children->n_pauses;
    for (size_t i = 0; i < n; i++) {
        char id[27];
        const char *pause_id = i < own ? job->head->pauses[i]->pause_id : children->pauses[i - own]->pause_id;
        job_of_pause(pause_id, job, id);
        name_pause(&text, i, pause_id, id);
    }
    return fm_err_set(err, FM_FAILED_PRECONDITION, "pause_id",
                      "%zu pauses are open: say which one is meant: %.*s%s", n, (int)text.n,
                      (const char *)text.p, n > MAX_NAMED ? ", …" : "");
}

int pause_meant(struct core *c, struct op *op, struct job **job, char ret_pause_id[PAUSE_ID_BYTES],
                struct fm_err *err)
{
    struct job *parent = *job;
    struct child_questions *q = op_own(op, sizeof(*q));
    if (!children_questions(c, op, fm_buf_bytes(&parent->disk_head)))
        return OP_WAITS;
    fm_auto_pb Fermata__V1__Job *children = fermata__v1__job__unpack(NULL, q->pauses.n, q->pauses.p);
    ret_pause_id[0] = '\0';
    if (children == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "job_id",
                          "the questions of the children of job %s cannot be read", parent->text);
    if (parent->head->n_pauses + children->n_pauses > 1)
        return several(parent, children, err);
    if (parent->head->n_pauses == 1)
        snprintf(ret_pause_id, PAUSE_ID_BYTES, "%s", parent->head->pauses[0]->pause_id);
    if (children->n_pauses == 0)
        return 0;
    char id[27];
    const char *pause_id = children->pauses[0]->pause_id;
    job_of_pause(pause_id, parent, id);
    snprintf(ret_pause_id, PAUSE_ID_BYTES, "%s", strrchr(pause_id, '/') + 1);
    *op->used = NULL;
    job_rest(c, parent);
    return job_for_op(c, op, id, job, err);
}
