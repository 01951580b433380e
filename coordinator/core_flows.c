/* The Flows service; definitions and names in memory; what hosts have said of routine types. */
#include "core_int.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "flow.h"
#include "flow_graph.h"
#include "log.h"
#include "mem.h"
#include "program_check.h"

#define MAX_NAMES 1024
#define KEPT_FLOW_BYTES 65536 /* larger ones are decoded for each submit */

/* ---- routine types ---- */

static char **copy_strings(char *const *list, size_t n)
{
    char **copy = fm_xcalloc(n + 1, sizeof(*copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = fm_xstrdup(list[i]);
    return copy;
}

static void free_strings(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
}

static void type_info_free(struct type_info **types, struct type_info *t)
{
    HASH_DEL(*types, t);
    free_strings(t->slots, t->n_slots);
    free_strings(t->events, t->n_events);
    free(t->name);
    free(t);
}

void type_info_free_all(struct type_info **types)
{
    struct type_info *t, *tmp;
    HASH_ITER (hh, *types, t, tmp)
        type_info_free(types, t);
}

struct type_info *type_info_add(struct type_info **types, const Fermata__V1__RoutineType *m)
{
    struct type_info *t;
    HASH_FIND_STR(*types, m->name, t);
    if (t != NULL)
        type_info_free(types, t);
    t = fm_xcalloc(1, sizeof(*t));
    t->name = fm_xstrdup(m->name);
    t->version = m->version;
    t->slots = copy_strings(m->slots, m->n_slots);
    t->n_slots = m->n_slots;
    t->events = copy_strings(m->events, m->n_events);
    t->n_events = m->n_events;
    t->effects = m->effects != 0;
    HASH_ADD_KEYPTR(hh, *types, t->name, strlen(t->name), t);
    return t;
}

void types_learn(struct core *c, const Fermata__V1__RoutineType *t)
{
    (void)type_info_add(&c->types, t);
}

bool flow_known_type(void *arg, const char *name, struct known_type *ret)
{
    struct core *c = arg;
    struct type_info *t;
    HASH_FIND_STR(c->types, name, t);
    if (t == NULL)
        return false;
    *ret = (struct known_type){t->slots, t->n_slots, t->events, t->n_events};
    return true;
}

/* ---- definitions ---- */

struct flow_def *def_find(struct core *c, const uint8_t digest[STORE_DIGEST_BYTES])
{
    struct flow_def *d;
    HASH_FIND(hh, c->defs, digest, STORE_DIGEST_BYTES, d);
    if (d != NULL)
        d->refs++;
    return d;
}

static void add_type(struct flow_def *d, const char *type)
{
    for (size_t i = 0; i < d->n_types; i++)
        if (strcmp(d->types[i], type) == 0)
            return;
    d->types = fm_xrealloc(d->types, (d->n_types + 1) * sizeof(*d->types));
    d->types[d->n_types++] = fm_xstrdup(type);
}

struct flow_def *def_add(struct core *c, const Fermata__V1__Flow *flow, struct fm_bytes body,
                         const uint8_t digest[STORE_DIGEST_BYTES], bool on_disk)
{
    struct flow_def *d = def_find(c, digest);
    if (d != NULL) {
        d->on_disk = d->on_disk || on_disk;
        return d;
    }
    d = fm_xcalloc(1, sizeof(*d));
    memcpy(d->digest, digest, STORE_DIGEST_BYTES);
    fm_buf_append(&d->body, body.p, body.n);
    for (size_t i = 0; i < flow->n_routines; i++)
        add_type(d, flow->routines[i]->type);
    d->parallelism = flow->parallelism;
    d->deadline_ms = flow->deadline_ms;
    d->refs = 1;
    d->on_disk = on_disk;
    HASH_ADD(hh, c->defs, digest, STORE_DIGEST_BYTES, d);
    return d;
}

void def_unref(struct core *c, struct flow_def *d)
{
    if (--d->refs > 0)
        return;
    HASH_DEL(c->defs, d);
    free_strings(d->types, d->n_types);
    if (d->flow != NULL)
        fermata__v1__flow__free_unpacked(d->flow, NULL);
    fm_buf_done(&d->body);
    free(d);
}

/* The canonical encoding: maps sorted, without the version. */
static void encode_flow(const Fermata__V1__Flow *flow, struct fm_buf *body,
                        uint8_t digest[STORE_DIGEST_BYTES])
{
    Fermata__V1__Flow *copy = pb_clone(flow);
    copy->version = 0;
    canonical_sort(&copy->base);
    pb_pack(copy, body);
    fermata__v1__flow__free_unpacked(copy, NULL);
    core_digest((struct fm_bytes){body->p, body->n}, digest);
}

/* ---- names ---- */

static struct flow_name *name_find(struct core *c, const char *name)
{
    struct flow_name *n;
    HASH_FIND_STR(c->names, name, n);
    return n;
}

void flow_forget_name(struct core *c, const char *name)
{
    struct flow_name *n = name_find(c, name);
    if (n == NULL)
        return;
    HASH_DEL(c->names, n);
    free(n->name);
    free(n);
}

static struct flow_name *name_set(struct core *c, const char *name, uint32_t version, const uint8_t *digest)
{
    struct flow_name *n = name_find(c, name);
    if (n == NULL) {
        if (HASH_COUNT(c->names) >= MAX_NAMES)
            flow_forget_name(c, c->names->name);
        n = fm_xcalloc(1, sizeof(*n));
        n->name = fm_xstrdup(name);
        HASH_ADD_KEYPTR(hh, c->names, n->name, strlen(n->name), n);
    }
    n->version = version;
    if (digest != NULL)
        memcpy(n->digest, digest, STORE_DIGEST_BYTES);
    return n;
}

/* A name's newest version was read: the op runs again and finds it. */
static void on_name_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    if (d->status == STORE_FAILED) {
        op_fail(c, op, &d->err);
        return;
    }
    const char *name = (const char *)op->text.p;
    if (name_find(c, name) == NULL) /* else a PutFlow overtook the read */
        name_set(c, name, d->status == STORE_OK ? d->rows[0].number : 0,
                 d->status == STORE_OK ? d->digest : NULL);
    op_run(c, op);
}

/* The newest version of a name, or NULL: then the op is parked until it is known. */
static struct flow_name *name_for_op(struct core *c, struct op *op, const char *name)
{
    struct flow_name *n = name_find(c, name);
    if (n != NULL)
        return n;
    fm_buf_reset(&op->text);
    fm_buf_append(&op->text, name, strlen(name) + 1);
    struct store_query q = {.kind = STORE_READ_FLOW, .name = (const char *)op->text.p};
    core_read(c, &q, on_name_read, op);
    return NULL;
}

/* ---- PutFlow ---- */

static void add_warning(Fermata__V1__PutFlowResponse *r, const char *text)
{
    r->warnings = fm_xrealloc(r->warnings, (r->n_warnings + 1) * sizeof(*r->warnings));
    r->warnings[r->n_warnings++] = fm_xstrdup(text);
}

static void warn_of_tool(void *arg, const char *routine, const char *tool)
{
    char text[400];
    snprintf(text, sizeof(text),
             "routine \"%.*s\": no connection takes calls of the tool \"%.*s\" (event tool_call); nobody "
             "would answer them",
             (int)fm_utf8_cut(routine, 64), routine, (int)fm_utf8_cut(tool, 64), tool);
    add_warning(arg, text);
}

static void reply_put(struct core *c, struct op *op, const Fermata__V1__Flow *flow, uint32_t version,
                      bool created, struct commit *m)
{
    Fermata__V1__PutFlowResponse r = FERMATA__V1__PUT_FLOW_RESPONSE__INIT;
    struct flow_types known = {flow_known_type, c};
    r.name = flow->name;
    r.version = version;
    r.created = created;
    for (size_t i = 0; i < flow->n_routines; i++) {
        char text[256];
        if (flow_type_known(flow->routines[i]->type, &known))
            continue;
        snprintf(text, sizeof(text),
                 "routine \"%.64s\": no host has offered routine type \"%.64s\" yet; jobs will wait for one "
                 "that does",
                 flow->routines[i]->id, flow->routines[i]->type);
        add_warning(&r, text);
    }
    flow_untaken_tools(flow, warn_of_tool, &r);
    if (op->check != NULL && op->check->skipped[0] != '\0') {
        char text[256];
        snprintf(text, sizeof(text), "some jq programs and JSON Schemas were not checked: %s",
                 op->check->skipped);
        add_warning(&r, text);
    }
    if (m != NULL)
        pbc_effect_reply(m, op->ticket, &r.base);
    else
        op_reply(c, op, &r.base);
    free_strings(r.warnings, r.n_warnings);
    if (m != NULL)
        op_free(op);
}

static void store_flow(struct core *c, const Fermata__V1__Flow *flow, struct commit *m, uint32_t version,
                       const struct fm_buf *body, const uint8_t digest[STORE_DIGEST_BYTES])
{
    Fermata__V1__FlowSummary s = FERMATA__V1__FLOW_SUMMARY__INIT;
    Google__Protobuf__Timestamp at = core_now(c);
    s.name = flow->name;
    s.version = version;
    s.description = flow->description;
    s.routine_count = (uint32_t)flow->n_routines;
    s.created_at = &at;
    struct fm_buf summary = {0};
    pb_pack(&s, &summary);
    store_put_flow_def(m->unit, digest, (struct fm_bytes){body->p, body->n});
    store_put_flow(m->unit, flow->name, version, digest, (struct fm_bytes){summary.p, summary.n});
    fm_buf_done(&summary);
    struct flow_def *def = def_add(c, flow, (struct fm_bytes){body->p, body->n}, digest, false);
    commit_effect(m, EFFECT_FLOW, (struct fm_bytes){0})->def = def;
}

/* Checks all of a flow. 0: it is sound; 1: the op was parked; else err has all faults. */
static int check_flow(struct core *c, struct op *op, const Fermata__V1__Flow *flow, const char *path,
                      bool named, struct fm_err *err)
{
    struct flow_types known = {flow_known_type, c};
    struct program_check *programs = program_check_new();
    flow_programs(flow, path, programs);
    int rc = flow_validate(flow, path, named, &known, err);
    if (!programs_checked(c, op, programs, err))
        return 1;
    return err->code == FM_OK ? rc : -(int)err->code;
}

static void put_flow(struct core *c, struct op *op)
{
    const Fermata__V1__PutFlowRequest *r = OP_REQUEST(op, Fermata__V1__PutFlowRequest);
    struct fm_err err = {0};
    int rc = 0;
    if (r->flow == NULL)
        fm_err_set(&err, FM_INVALID_ARGUMENT, "flow", "flow is missing");
    else if (protobuf_c_message_get_packed_size(&r->flow->base) > MAX_INPUT_BYTES)
        fm_err_set(&err, FM_INVALID_ARGUMENT, "flow", "the flow has %zu bytes; the limit is %u",
                   protobuf_c_message_get_packed_size(&r->flow->base), MAX_INPUT_BYTES);
    else if ((rc = check_flow(c, op, r->flow, "flow", true, &err)) == -FM_INVALID_ARGUMENT)
        fm_err_wrap(&err, "the flow has %zu fault%s", err.n_more > 0 ? err.n_more + err.n_cut : 1,
                    err.n_more > 0 ? "s, the first is" : "");
    if (rc > 0)
        return;
    if (err.code != FM_OK) {
        op_fail(c, op, &err);
        return;
    }
    struct flow_name *n = name_for_op(c, op, r->flow->name);
    if (n == NULL)
        return;
    struct fm_buf body = {0};
    uint8_t digest[STORE_DIGEST_BYTES];
    encode_flow(r->flow, &body, digest);
    bool same = n->version > 0 && memcmp(n->digest, digest, STORE_DIGEST_BYTES) == 0;
    struct commit *m = NULL;
    if (same) { /* the reply goes with the earlier put of it, if that is not on disk yet */
        HASH_FIND(hh, c->commits, &n->put_tag, sizeof(n->put_tag), m);
    } else {
        m = commit_new(c, NULL);
        n = name_set(c, r->flow->name, n->version + 1, digest);
        n->put_tag = m->tag;
        store_flow(c, r->flow, m, n->version, &body, digest);
        m->flow_name = fm_xstrdup(r->flow->name);
        FM_LOG(INFO, FLOW, "flow stored", FM_STR("flow", r->flow->name), FM_U64("version", n->version));
    }
    fm_buf_done(&body);
    reply_put(c, op, r->flow, n->version, !same, m);
    if (!same)
        commit_submit(c, m);
}

/* ---- GetFlow, GetFlowGraph, ListFlows, DeleteFlow ---- */

/* The flow that was read, for free_unpacked; NULL: the op has failed. */
static Fermata__V1__Flow *flow_read(struct core *c, struct op *op, struct store_done *d, const char *name,
                                    uint32_t version)
{
    struct fm_err err = {0};
    Fermata__V1__Flow *flow = NULL;
    if (d->status == STORE_NOT_FOUND && version > 0)
        fm_err_set(&err, FM_NOT_FOUND, "version", "there is no version %u of a flow \"%s\"", version, name);
    else if (d->status == STORE_NOT_FOUND)
        fm_err_set(&err, FM_NOT_FOUND, "name", "there is no flow \"%s\"", name);
    else if (d->status == STORE_OK)
        flow = fermata__v1__flow__unpack(NULL, d->rows[0].body.n, d->rows[0].body.p);
    if (flow == NULL) {
        if (d->status == STORE_OK)
            fm_err_set(&err, FM_DATA_LOSS, "flow", "the stored flow \"%s\" is malformed", name);
        op_fail(c, op, d->status == STORE_FAILED ? &d->err : &err);
        return NULL;
    }
    flow->version = d->rows[0].number;
    return flow;
}

static void on_get_flow(struct core *c, struct wait *w, struct store_done *d)
{
    const Fermata__V1__GetFlowRequest *r = OP_REQUEST(w->op, Fermata__V1__GetFlowRequest);
    Fermata__V1__Flow *flow = flow_read(c, w->op, d, r->name, r->version);
    if (flow == NULL)
        return;
    Fermata__V1__GetFlowResponse response = FERMATA__V1__GET_FLOW_RESPONSE__INIT;
    response.flow = flow;
    op_reply(c, w->op, &response.base);
    fermata__v1__flow__free_unpacked(flow, NULL);
}

static void on_get_flow_graph(struct core *c, struct wait *w, struct store_done *d)
{
    const Fermata__V1__GetFlowGraphRequest *r = OP_REQUEST(w->op, Fermata__V1__GetFlowGraphRequest);
    Fermata__V1__Flow *flow = flow_read(c, w->op, d, r->name, r->version);
    if (flow == NULL)
        return;
    Fermata__V1__GetFlowGraphResponse response = FERMATA__V1__GET_FLOW_GRAPH_RESPONSE__INIT;
    struct fm_buf text = {0};
    if (r->format == FERMATA__V1__FLOW_GRAPH_FORMAT__FLOW_GRAPH_FORMAT_MERMAID)
        flow_graph_mermaid(flow, &text);
    else
        flow_graph_dot(flow, &text);
    response.graph = (char *)text.p;
    response.version = flow->version;
    op_reply(c, w->op, &response.base);
    fm_buf_done(&text);
    fermata__v1__flow__free_unpacked(flow, NULL);
}

static void get_flow(struct core *c, struct op *op)
{
    const Fermata__V1__GetFlowRequest *r = OP_REQUEST(op, Fermata__V1__GetFlowRequest);
    struct fm_err err = {0};
    if (check_name("name", r->name, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct store_query q = {.kind = STORE_READ_FLOW, .name = r->name, .version = r->version};
    core_read(c, &q, on_get_flow, op);
}

static void get_flow_graph(struct core *c, struct op *op)
{
    const Fermata__V1__GetFlowGraphRequest *r = OP_REQUEST(op, Fermata__V1__GetFlowGraphRequest);
    struct fm_err err = {0};
    if (protobuf_c_enum_descriptor_get_value(&fermata__v1__flow_graph_format__descriptor, (int)r->format) ==
        NULL)
        fm_err_set(&err, FM_INVALID_ARGUMENT, "format", "there is no format %d of graphs", (int)r->format);
    if (err.code != FM_OK || check_name("name", r->name, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct store_query q = {.kind = STORE_READ_FLOW, .name = r->name, .version = r->version};
    core_read(c, &q, on_get_flow_graph, op);
}

static void on_list_flows(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    struct fm_buf b = {0};
    for (size_t i = 0; i < d->n_rows; i++)
        fm_buf_put_len_delim(&b, 1, d->rows[i].body.p, d->rows[i].body.n);
    if (d->more && d->n_rows > 0) {
        Fermata__V1__FlowSummary *last = fermata__v1__flow_summary__unpack(
            NULL, d->rows[d->n_rows - 1].body.n, d->rows[d->n_rows - 1].body.p);
        if (last != NULL) {
            fm_buf_put_string(&b, 2, last->name);
            fermata__v1__flow_summary__free_unpacked(last, NULL);
        }
    }
    c->io.reply(c->io.arg, op->ticket, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
    op_free(op);
}

static void list_flows(struct core *c, struct op *op)
{
    const Fermata__V1__ListFlowsRequest *r = OP_REQUEST(op, Fermata__V1__ListFlowsRequest);
    struct store_query q = {.kind = STORE_LIST_FLOWS, .name = r->page_token};
    struct fm_err err = {0};
    if (check_page(r->page_size, &q.limit, &err) < 0 ||
        (r->page_token[0] != '\0' && check_name("page_token", r->page_token, &err) < 0))
        op_fail(c, op, &err);
    else
        core_read(c, &q, on_list_flows, op);
}

static void delete_flow(struct core *c, struct op *op)
{
    const Fermata__V1__DeleteFlowRequest *r = OP_REQUEST(op, Fermata__V1__DeleteFlowRequest);
    struct fm_err err = {0};
    if (check_name("name", r->name, &err) < 0) {
        op_fail(c, op, &err);
        return;
    }
    struct flow_name *n = name_for_op(c, op, r->name);
    if (n == NULL)
        return;
    if (n->version == 0) {
        fm_err_set(&err, FM_NOT_FOUND, "name", "there is no flow \"%s\"", r->name);
        op_fail(c, op, &err);
        return;
    }
    Fermata__V1__DeleteFlowResponse response = FERMATA__V1__DELETE_FLOW_RESPONSE__INIT;
    response.versions_deleted = n->version;
    struct commit *m = commit_new(c, NULL);
    m->flow_name = fm_xstrdup(r->name);
    store_delete_flow(m->unit, r->name);
    name_set(c, r->name, 0, NULL);
    pbc_effect_reply(m, op->ticket, &response.base);
    FM_LOG(INFO, FLOW, "flow deleted", FM_STR("flow", r->name));
    op_free(op);
    commit_submit(c, m);
}

void flows_request(struct core *c, struct op *op)
{
    switch ((int)op->method) {
    case CORE_PUT_FLOW:
        put_flow(c, op);
        return;
    case CORE_GET_FLOW:
        get_flow(c, op);
        return;
    case CORE_LIST_FLOWS:
        list_flows(c, op);
        return;
    case CORE_GET_FLOW_GRAPH:
        get_flow_graph(c, op);
        return;
    default:
        delete_flow(c, op);
        return;
    }
}

/* ---- the flow of a submit ---- */

static bool entry_ok(struct core *c, struct op *op, const Fermata__V1__Flow *flow,
                     const Fermata__V1__SubmitJobRequest *r)
{
    struct fm_err err = {0};
    struct flow_types known = {flow_known_type, c};
    if (flow_check_entry(flow, "entry", r->entry->routine, r->entry->slot, r->data, &known, &err) == 0)
        return true;
    op_fail(c, op, &err);
    return false;
}

static struct flow_def *inline_def(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r)
{
    struct fm_err err = {0};
    int rc = check_flow(c, op, r->inline_flow, "inline_flow", false, &err);
    if (rc > 0)
        return NULL;
    if (rc < 0) {
        op_fail(c, op, &err);
        return NULL;
    }
    if (!entry_ok(c, op, r->inline_flow, r))
        return NULL;
    struct fm_buf body = {0};
    uint8_t digest[STORE_DIGEST_BYTES];
    encode_flow(r->inline_flow, &body, digest);
    struct flow_def *def = def_add(c, r->inline_flow, (struct fm_bytes){body.p, body.n}, digest, false);
    fm_buf_done(&body);
    return def;
}

/* The definition a submit named was read: kept in memory until the op has run again. */
static void on_def_for_submit(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    const Fermata__V1__SubmitJobRequest *r = OP_REQUEST(op, Fermata__V1__SubmitJobRequest);
    struct fm_err err = {0};
    Fermata__V1__Flow *flow =
        d->status == STORE_OK ? fermata__v1__flow__unpack(NULL, d->rows[0].body.n, d->rows[0].body.p) : NULL;
    if (flow == NULL) {
        if (d->status == STORE_NOT_FOUND)
            fm_err_set(&err, FM_NOT_FOUND, "flow", "there is no flow \"%s\"%s", r->flow,
                       r->flow_version > 0 ? " of this version" : "");
        else if (d->status == STORE_OK)
            fm_err_set(&err, FM_DATA_LOSS, "flow", "the stored flow \"%s\" is malformed", r->flow);
        op_fail(c, op, d->status == STORE_FAILED ? &d->err : &err);
        return;
    }
    struct flow_def *def = def_add(c, flow, d->rows[0].body, d->digest, true);
    fermata__v1__flow__free_unpacked(flow, NULL);
    op->def = def;
    op->def_version = d->rows[0].number;
    op_run(c, op);
    def_unref(c, def);
}

static bool def_entry_ok(struct core *c, struct op *op, struct flow_def *def,
                         const Fermata__V1__SubmitJobRequest *r)
{
    if (def->flow != NULL)
        return entry_ok(c, op, def->flow, r);
    Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, def->body.n, def->body.p);
    if (flow == NULL)
        fm_abort("a flow in memory does not decode");
    bool ok = entry_ok(c, op, flow, r);
    if (def->body.n <= KEPT_FLOW_BYTES)
        def->flow = flow;
    else
        fermata__v1__flow__free_unpacked(flow, NULL);
    return ok;
}

static struct flow_def *named_def(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                                  uint32_t *ret_version)
{
    struct flow_def *def = op->def;
    *ret_version = op->def_version;
    struct flow_name *n = name_find(c, r->flow);
    if (def == NULL && n != NULL && n->version > 0 &&
        (r->flow_version == 0 || r->flow_version == n->version)) {
        def = def_find(c, n->digest);
        *ret_version = n->version;
    } else if (def != NULL) {
        def->refs++;
        op->def = NULL;
        if (r->flow_version == 0 && n == NULL)
            name_set(c, r->flow, *ret_version, def->digest);
    }
    if (def == NULL) {
        struct store_query q = {.kind = STORE_READ_FLOW, .name = r->flow, .version = r->flow_version};
        core_read(c, &q, on_def_for_submit, op);
        return NULL;
    }
    if (def_entry_ok(c, op, def, r))
        return def;
    def_unref(c, def);
    return NULL;
}

struct flow_def *flow_for_submit(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                                 const char **ret_name, uint32_t *ret_version)
{
    if (r->inline_flow != NULL) {
        *ret_name = r->inline_flow->name;
        *ret_version = 0;
        return inline_def(c, op, r);
    }
    *ret_name = r->flow;
    return named_def(c, op, r, ret_version);
}
