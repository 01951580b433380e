/* The Flows service. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "check.h"
#include "config.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "flow.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "graph.h"
#include "log.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "op.h"
#include "pbc.h"
#include "program_check.h"
#include "query.h"
#include "routine_types.h"
#include "state.h"
#include "store.h"
#include "unit.h"
#include "wanted.h"

/* ---- names ---- */

/* A name's newest version was read: the op runs again and finds it. */
static void on_name_read(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    if (d->status == STORE_FAILED) {
        op_fail(c, op, &d->err);
        return;
    }
    const char *name = op->own;
    if (name_find(c, name) == NULL) /* else a PutFlow overtook the read */
        name_set(c, name, &d->flow);
    op_run(c, op);
}

/* The newest version of a name, or NULL: then the op waits until it is known; its own state is the
 * name. */
static struct flow_name *name_for_op(struct core *c, struct op *op, const char *name)
{
    struct flow_name *n = name_find(c, name);
    if (n != NULL)
        return n;
    free(op->own);
    op->own = fm_xstrdup(name);
    core_read(c, store_read_flow(op->own, 0), on_name_read, op);
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

static void warn_of_agent(void *arg, const char *routine)
{
    char text[400];
    snprintf(
        text, sizeof(text),
        "routine \"%.*s\": the agent has no limits.max_turns: it pauses after 50 calls of its model and asks "
        "whether it may go on; 0 is no limit",
        (int)fm_utf8_cut(routine, 64), routine);
    add_warning(arg, text);
}

static void reply_put(struct core *c, struct op *op, const Fermata__V1__Flow *flow, uint32_t version,
                      bool created, struct unit *m)
{
    Fermata__V1__PutFlowResponse r = FERMATA__V1__PUT_FLOW_RESPONSE__INIT;
    struct flow_types known = {types_find, c};
    r.name = flow->name;
    r.version = version;
    r.created = created;
    for (size_t i = 0; i < flow->n_routines; i++) {
        char text[400];
        if (flow_type(flow->routines[i]->type, &known) != NULL)
            continue;
        snprintf(text, sizeof(text),
                 "routine \"%.64s\": no host has offered routine type \"%.64s\" yet: its configuration "
                 "is not checked, and jobs will wait for a host that does",
                 flow->routines[i]->id, flow->routines[i]->type);
        add_warning(&r, text);
    }
    flow_untaken_tools(flow, &known, warn_of_tool, &r);
    flow_unbounded_agents(flow, warn_of_agent, &r);
    if (op->check != NULL && op->check->skipped[0] != '\0') {
        char text[256];
        snprintf(text, sizeof(text), "some jq programs and JSON Schemas were not checked: %s",
                 op->check->skipped);
        add_warning(&r, text);
    }
    if (m != NULL)
        unit_reply(m, op->ticket, &r.base);
    else
        op_answer(c, op, &r.base);
    strings_free(r.warnings, r.n_warnings);
}

static void store_flow(struct core *c, const Fermata__V1__Flow *flow, struct unit *m, uint32_t version,
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
    store_put_flow_def(m->records, digest, fm_buf_bytes(body));
    store_put_flow(m->records, flow->name, version, digest, fm_buf_bytes(&summary));
    fm_buf_done(&summary);
    struct flow_def *def = def_add(c, flow, fm_buf_bytes(body), digest, false);
    def_effect(m, def);
}

static int check_put(struct core *c, struct op *op, const Fermata__V1__PutFlowRequest *r, struct fm_err *err)
{
    if (r->flow == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "flow", "flow is missing");
    size_t bytes = protobuf_c_message_get_packed_size(&r->flow->base);
    if (bytes > MAX_INPUT_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "flow", "the flow has %zu bytes; the limit is %u", bytes,
                          MAX_INPUT_BYTES);
    int rc = flow_check(c, op, r->flow, "flow", FLOW_STORED, err);
    if (rc == -FM_INVALID_ARGUMENT)
        fm_err_wrap(err, "the flow has %zu fault%s", err->n_more > 0 ? err->n_more + err->n_cut : 1,
                    err->n_more > 0 ? "s, the first is" : "");
    return rc;
}

static int put_flow(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__PutFlowRequest *r = OP_REQUEST(op, Fermata__V1__PutFlowRequest);
    int rc = check_put(c, op, r, err);
    if (rc != 0)
        return rc;
    struct flow_name *n = name_for_op(c, op, r->flow->name);
    if (n == NULL)
        return OP_WAITS;
    struct fm_buf body = {0};
    uint8_t digest[STORE_DIGEST_BYTES];
    flow_encode(r->flow, &body, digest);
    bool same = n->version > 0 && memcmp(n->digest, digest, STORE_DIGEST_BYTES) == 0;
    struct unit *u = NULL;
    if (same) { /* the reply goes with the earlier put of it, if that is not on disk yet */
        HASH_FIND(hh, c->units, &n->put_tag, sizeof(n->put_tag), u);
    } else {
        u = unit_new(c, NULL);
        name_add_version(n, digest);
        n->put_tag = u->tag;
        store_flow(c, r->flow, u, n->version, &body, digest);
        name_effect(u, r->flow->name);
        FM_LOG(INFO, FLOW, "flow stored", FM_STR("flow", r->flow->name), FM_U64("version", n->version));
    }
    fm_buf_done(&body);
    reply_put(c, op, r->flow, n->version, !same, u);
    if (!same)
        unit_submit(c, u);
    return 0;
}

const struct method put_flow_method = {"Flows/PutFlow",
                                       METHOD_UNARY,
                                       &fermata__v1__put_flow_request__descriptor,
                                       &fermata__v1__put_flow_response__descriptor,
                                       ROLE_AUTHOR,
                                       ADMIT_ALWAYS,
                                       put_flow,
                                       NULL};

/* ---- GetFlow, GetFlowGraph, ListFlows, DeleteFlow ---- */

/* The flow that was read, for free_unpacked; NULL: the op has failed. */
static Fermata__V1__Flow *flow_read(struct core *c, struct op *op, struct store_done *d, const char *name,
                                    uint32_t version)
{
    struct fm_err err = {0};
    Fermata__V1__Flow *flow = NULL;
    if (d->status == STORE_NOT_FOUND && version > 0)
        (void)fm_err_set(&err, FM_NOT_FOUND, "version", "there is no version %u of a flow \"%s\"", version,
                         name);
    else if (d->status == STORE_NOT_FOUND)
        (void)fm_err_set(&err, FM_NOT_FOUND, "name", "there is no flow \"%s\"", name);
    else if (d->status == STORE_OK)
        flow = fermata__v1__flow__unpack(NULL, d->flow.definition.n, d->flow.definition.p);
    if (flow == NULL) {
        if (d->status == STORE_OK)
            (void)fm_err_set(&err, FM_DATA_LOSS, "flow", "the stored flow \"%s\" is malformed", name);
        op_fail(c, op, d->status == STORE_FAILED ? &d->err : &err);
        return NULL;
    }
    flow->version = d->flow.version;
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
    fm_auto_pb Fermata__V1__Flow *flow = flow_read(c, w->op, d, r->name, r->version);
    if (flow == NULL)
        return;
    Fermata__V1__GetFlowGraphResponse response = FERMATA__V1__GET_FLOW_GRAPH_RESPONSE__INIT;
    fm_auto(fm_buf) text = {0};
    if (r->format == FLOW_GRAPH_FORMAT_MERMAID)
        flow_graph_mermaid(flow, &text);
    else
        flow_graph_dot(flow, &text);
    response.graph = (char *)text.p;
    response.version = flow->version;
    op_reply(c, w->op, &response.base);
}

static int get_flow(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__GetFlowRequest *r = OP_REQUEST(op, Fermata__V1__GetFlowRequest);
    int rc = fm_name_check("name", r->name, err);
    if (rc < 0)
        return rc;
    core_read(c, store_read_flow(r->name, r->version), on_get_flow, op);
    return OP_WAITS;
}

const struct method get_flow_method = {"Flows/GetFlow",
                                       METHOD_UNARY,
                                       &fermata__v1__get_flow_request__descriptor,
                                       &fermata__v1__get_flow_response__descriptor,
                                       ROLE_VIEWER,
                                       ADMIT_ALWAYS,
                                       get_flow,
                                       NULL};

static int get_flow_graph(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__GetFlowGraphRequest *r = OP_REQUEST(op, Fermata__V1__GetFlowGraphRequest);
    if (protobuf_c_enum_descriptor_get_value(&fermata__v1__flow_graph_format__descriptor, (int)r->format) ==
        NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "format", "graph format %d is unknown", (int)r->format);
    int rc = fm_name_check("name", r->name, err);
    if (rc < 0)
        return rc;
    core_read(c, store_read_flow(r->name, r->version), on_get_flow_graph, op);
    return OP_WAITS;
}

const struct method get_flow_graph_method = {"Flows/GetFlowGraph",
                                             METHOD_UNARY,
                                             &fermata__v1__get_flow_graph_request__descriptor,
                                             &fermata__v1__get_flow_graph_response__descriptor,
                                             ROLE_VIEWER,
                                             ADMIT_ALWAYS,
                                             get_flow_graph,
                                             NULL};

static void on_list_flows(struct core *c, struct wait *w, struct store_done *d)
{
    struct op *op = w->op;
    if (d->status != STORE_OK) {
        op_fail(c, op, &d->err);
        return;
    }
    fm_auto(fm_buf) b = {0};
    const struct store_bodies *flows = &d->flows;
    for (size_t i = 0; i < flows->n; i++)
        fm_buf_put_len_delim(&b, FIELD_LIST_FLOWS_RESPONSE_FLOWS, flows->items[i].p, flows->items[i].n);
    if (flows->more && flows->n > 0) {
        struct fm_bytes body = flows->items[flows->n - 1];
        fm_auto_pb Fermata__V1__FlowSummary *last = fermata__v1__flow_summary__unpack(NULL, body.n, body.p);
        if (last != NULL)
            fm_buf_put_string(&b, FIELD_LIST_FLOWS_RESPONSE_NEXT_PAGE_TOKEN, last->name);
    }
    op_reply_bytes(c, op, fm_buf_bytes(&b));
}

static int list_flows(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__ListFlowsRequest *r = OP_REQUEST(op, Fermata__V1__ListFlowsRequest);
    uint32_t limit;
    int rc = check_page(r->page_size, &limit, err);
    if (rc == 0 && r->page_token[0] != '\0')
        rc = fm_name_check("page_token", r->page_token, err);
    if (rc < 0)
        return rc;
    core_read(c, store_list_flows(r->page_token, limit), on_list_flows, op);
    return OP_WAITS;
}

const struct method list_flows_method = {"Flows/ListFlows",
                                         METHOD_UNARY,
                                         &fermata__v1__list_flows_request__descriptor,
                                         &fermata__v1__list_flows_response__descriptor,
                                         ROLE_VIEWER,
                                         ADMIT_ALWAYS,
                                         list_flows,
                                         NULL};

static int delete_flow(struct core *c, struct op *op, struct fm_err *err)
{
    const Fermata__V1__DeleteFlowRequest *r = OP_REQUEST(op, Fermata__V1__DeleteFlowRequest);
    int rc = fm_name_check("name", r->name, err);
    if (rc < 0)
        return rc;
    struct flow_name *n = name_for_op(c, op, r->name);
    if (n == NULL)
        return OP_WAITS;
    if (n->version == 0)
        return fm_err_set(err, FM_NOT_FOUND, "name", "there is no flow \"%s\"", r->name);
    Fermata__V1__DeleteFlowResponse response = FERMATA__V1__DELETE_FLOW_RESPONSE__INIT;
    response.versions_deleted = n->n_versions;
    struct unit *u = unit_new(c, NULL);
    name_effect(u, r->name);
    store_delete_flow(u->records, r->name);
    name_delete_versions(n);
    unit_reply(u, op->ticket, &response.base);
    FM_LOG(INFO, FLOW, "flow deleted", FM_STR("flow", r->name));
    unit_submit(c, u);
    return 0;
}

const struct method delete_flow_method = {"Flows/DeleteFlow",
                                          METHOD_UNARY,
                                          &fermata__v1__delete_flow_request__descriptor,
                                          &fermata__v1__delete_flow_response__descriptor,
                                          ROLE_AUTHOR,
                                          ADMIT_ALWAYS,
                                          delete_flow,
                                          NULL};
