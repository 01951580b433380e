/* Flows as a host needs them. See hflow.h. */
#include "hflow.h"

#include <stdlib.h>
#include <string.h>

#include "fermata/v1/types.pb.h"
#include "kv.h"
#include "mem.h"
#include "number.h"
#include "pb_var.h"
#include "struct_fields.h"
#include "value.h"
#include "wire.h"

struct parsing {
    struct flow *f;
    const struct registry *registry;
    struct fm_err *err;
};

static int out_of_memory(struct parsing *p)
{
    return fm_err_set(p->err, FM_RESOURCE_EXHAUSTED, "flow", "the flow is too large");
}

static int parse_merge(struct parsing *p, const struct pb_var *list, struct routine *out)
{
    out->merges = fm_arena_zalloc(&p->f->arena, list->n + 1, sizeof(*out->merges));
    if (out->merges == NULL)
        return out_of_memory(p);
    for (size_t i = 0; i < list->n; i++) {
        fermata_v1_SlotMerge m;
        memset(&m, 0, sizeof(m));
        int rc = pb_var_decode(fermata_v1_SlotMerge_fields, &m, list->items[i], &p->f->arena, p->err);
        if (rc < 0)
            return rc;
        struct merge *made = &out->merges[out->n_merges];
        made->slot = pb_var_dup(m.slot, &p->f->arena);
        made->mode = (enum merge_mode)m.mode;
        made->n = m.n > 0 ? m.n : 1;
        if (made->slot == NULL)
            return out_of_memory(p);
        if (made->mode > MERGE_EACH)
            out->n_merges++;
    }
    return 0;
}

#define DEFAULT_JITTER 0.2 /* of types that are retried by themselves */

/* `defaults` is the flow's policy. */
static int parse_policy(struct parsing *p, const struct policy *defaults, const fermata_v1_Routine *m,
                        struct routine *out)
{
    out->policy = *defaults;
    struct fm_bytes own = {m->policy.p, m->policy.n};
    int rc = m->policy.n == 0 ? 0 : policy_read(&out->policy, own, &p->f->arena, p->err);
    policy_settle(&out->policy, out->type->default_attempts);
    if (out->policy.jitter <= 0 && out->type->default_attempts > 0)
        out->policy.jitter = DEFAULT_JITTER;
    return rc;
}

static int parse_routine(struct parsing *p, struct fm_bytes encoded, const struct policy *defaults,
                         struct routine *out)
{
    fermata_v1_Routine m;
    memset(&m, 0, sizeof(m));
    int rc = pb_var_decode(fermata_v1_Routine_fields, &m, encoded, &p->f->arena, p->err);
    if (rc < 0)
        return rc;
    const char *type = pb_var_dup(m.type, &p->f->arena);
    out->id = pb_var_dup(m.id, &p->f->arena);
    if (type == NULL || out->id == NULL)
        return out_of_memory(p);
    out->config = pb_var_view(m.config);
    out->type = registry_find(p->registry, type);
    if (out->type == NULL)
        return fm_err_set(p->err, FM_FAILED_PRECONDITION, "flow",
                          "routine \"%.64s\": this host does not offer routine type \"%.64s\"", out->id,
                          type);
    out->priority = m.priority;
    rc = parse_policy(p, defaults, &m, out);
    return rc < 0 ? rc : parse_merge(p, &m.merge, out);
}

static int parse_mapping(struct parsing *p, const struct pb_var *list, struct connection *out)
{
    out->mapping = fm_arena_zalloc(&p->f->arena, list->n, sizeof(*out->mapping));
    if (out->mapping == NULL)
        return out_of_memory(p);
    for (size_t i = 0; i < list->n; i++) {
        struct fm_bytes from, to;
        if (kv_read_pair(list->items[i], &from, &to) < 0)
            return fm_err_set(p->err, FM_INVALID_ARGUMENT, "flow", "a mapping is malformed");
        out->mapping[i].from = fm_arena_strndup(&p->f->arena, from.p, from.n);
        out->mapping[i].to = fm_arena_strndup(&p->f->arena, to.p, to.n);
        if (out->mapping[i].from == NULL || out->mapping[i].to == NULL)
            return out_of_memory(p);
    }
    out->n_mapping = list->n;
    return 0;
}

static int parse_connection(struct parsing *p, struct fm_bytes encoded, struct connection *out)
{
    fermata_v1_Connection m;
    memset(&m, 0, sizeof(m));
    int rc = pb_var_decode(fermata_v1_Connection_fields, &m, encoded, &p->f->arena, p->err);
    if (rc < 0)
        return rc;
    out->from_routine = pb_var_dup(m.from.routine, &p->f->arena);
    out->event = pb_var_dup(m.from.event, &p->f->arena);
    out->to_routine = pb_var_dup(m.to.routine, &p->f->arena);
    out->slot = pb_var_dup(m.to.slot, &p->f->arena);
    if (out->from_routine == NULL || out->event == NULL || out->to_routine == NULL || out->slot == NULL)
        return out_of_memory(p);
    out->drop_unmapped = m.drop_unmapped;
    out->constants = pb_var_view(m.constants);
    out->filter = pb_var_view(m.filter);
    return parse_mapping(p, &m.mapping, out);
}

/* By id; of equal ones, which a coordinator does not let pass, the first. */
static void index_routines(struct flow *f)
{
    for (size_t i = 0; i < f->n_routines; i++) {
        struct routine *r = &f->routines[i], *other;
        HASH_FIND_STR(f->by_id, r->id, other);
        if (other == NULL)
            HASH_ADD_KEYPTR(hh, f->by_id, r->id, strlen(r->id), r);
    }
}

static int by_event(const void *a, const void *b)
{
    const struct connection *x = *(const struct connection *const *)a,
                            *y = *(const struct connection *const *)b;
    int rc = strcmp(x->event, y->event);
    return rc != 0 ? rc : (x->number > y->number) - (x->number < y->number);
}

static int index_connections(struct parsing *p)
{
    struct flow *f = p->f;
    for (size_t i = 0; i < f->n_connections; i++)
        flow_routine(f, f->connections[i].from_routine)->n_out++;
    for (size_t i = 0; i < f->n_routines; i++) {
        struct routine *r = &f->routines[i];
        r->out = fm_arena_zalloc(&f->arena, r->n_out, sizeof(*r->out));
        if (r->out == NULL)
            return out_of_memory(p);
        r->n_out = 0;
    }
    f->unknown.n_out = 0;
    for (size_t i = 0; i < f->n_connections; i++) {
        struct routine *r = flow_routine(f, f->connections[i].from_routine);
        if (r != &f->unknown)
            r->out[r->n_out++] = &f->connections[i];
    }
    for (size_t i = 0; i < f->n_routines; i++)
        if (f->routines[i].n_out > 1)
            qsort(f->routines[i].out, f->routines[i].n_out, sizeof(*f->routines[i].out), by_event);
    return 0;
}

static int parse(struct parsing *p, struct fm_bytes encoded)
{
    struct flow *f = p->f;
    fermata_v1_Flow m;
    memset(&m, 0, sizeof(m));
    uint8_t *copy = fm_arena_alloc(&f->arena, encoded.n);
    if (copy == NULL)
        return out_of_memory(p);
    if (encoded.n > 0)
        memcpy(copy, encoded.p, encoded.n);
    int rc = pb_var_decode(fermata_v1_Flow_fields, &m, (struct fm_bytes){copy, encoded.n}, &f->arena, p->err);
    if (rc < 0)
        return rc;
    f->n_routines = m.routines.n;
    f->n_connections = m.connections.n;
    f->routines = fm_arena_zalloc(&f->arena, f->n_routines, sizeof(*f->routines));
    f->connections = fm_arena_zalloc(&f->arena, f->n_connections, sizeof(*f->connections));
    if (f->routines == NULL || f->connections == NULL)
        return out_of_memory(p);
    f->parallelism = m.parallelism > 1 ? m.parallelism : 1;
    struct policy defaults;
    policy_init(&defaults);
    f->unknown.id = "";
    f->unknown.policy = defaults;
    policy_settle(&f->unknown.policy, 0);
    if (m.defaults.n > 0)
        rc = policy_read(&defaults, pb_var_view(m.defaults), &f->arena, p->err);
    for (size_t i = 0; i < f->n_routines && rc == 0; i++)
        rc = parse_routine(p, m.routines.items[i], &defaults, &f->routines[i]);
    for (size_t i = 0; i < f->n_connections && rc == 0; i++) {
        f->connections[i].number = (uint32_t)i + 1;
        rc = parse_connection(p, m.connections.items[i], &f->connections[i]);
    }
    if (rc < 0)
        return rc;
    index_routines(f);
    return index_connections(p);
}

struct flow *flow_parse(struct fm_bytes encoded, const struct registry *registry, struct fm_err *err)
{
    struct flow *f = fm_xcalloc(1, sizeof(*f));
    fm_arena_init(&f->arena, 64u * 1024 * 1024);
    struct parsing p = {f, registry, err};
    if (parse(&p, encoded) == 0)
        return f;
    flow_free(f);
    return NULL;
}

void flow_free(struct flow *f)
{
    if (f == NULL)
        return;
    HASH_CLEAR(hh, f->by_id);
    fm_arena_done(&f->arena);
    free(f);
}

struct routine *flow_routine(struct flow *f, const char *id)
{
    struct routine *r;
    HASH_FIND_STR(f->by_id, id, r);
    return r != NULL ? r : &f->unknown;
}

/* ---- connections ---- */

/* Whether an encoded Value is a string of these digits. */
static bool is_digits_of(struct fm_bytes value, struct number n)
{
    char digits[NUMBER_TEXT_BYTES];
    struct fm_buf text = {0};
    (void)number_print(n, digits);
    fm_buf_put_string(&text, VALUE_STRING, digits);
    bool same = fm_bytes_eq(value, fm_buf_bytes(&text));
    fm_buf_done(&text);
    return same;
}

/* Values of a filter are scalars; so they are compared as they are encoded, but for numbers, which may be
 * encoded in two ways. Large integers are met by their digits: a client's filter cannot say them otherwise.
 */
static bool is_value_of_filter(struct fm_bytes wanted, struct fm_bytes have)
{
    struct number x, y;
    if (fm_bytes_eq(wanted, have))
        return true;
    if (!value_encoded_number(have, &y))
        return false;
    return value_encoded_number(wanted, &x) ? number_compare(x, y) == 0 : y.exact && is_digits_of(wanted, y);
}

static bool filter_takes(struct fm_bytes filter, const struct data_fields *data)
{
    struct wire_reader r = wire_reader(filter);
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes pair, key, value;
    while (wire_next(&r, &field, &type, &val, &pair) > 0) {
        if (field != 1 || type != WIRE_TYPE_LEN || kv_read_pair(pair, &key, &value) < 0)
            continue;
        const struct data_field *have = data_fields_find(data, key);
        if (have == NULL || !is_value_of_filter(value, have->value))
            return false;
    }
    return true;
}

bool connection_takes(const struct connection *c, const struct data_fields *data)
{
    return c->filter.n == 0 || filter_takes(c->filter, data);
}

struct out routine_out(const struct routine *r, const char *event)
{
    size_t first = 0, end = r->n_out;
    while (first < end) { /* the first that does not come before the event */
        size_t middle = first + (end - first) / 2;
        if (strcmp(r->out[middle]->event, event) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    struct out out = {r->out + first, 0};
    while (first + out.n < r->n_out && strcmp(out.first[out.n]->event, event) == 0)
        out.n++;
    return out;
}

static void put_field(struct fm_bytes name, struct fm_bytes value, struct fm_buf *out)
{
    fm_buf_put_len_header(out, 1,
                          1 + fm_varint_size(name.n) + name.n + 1 + fm_varint_size(value.n) + value.n);
    fm_buf_put_len_delim(out, 1, name.p, name.n);
    fm_buf_put_len_delim(out, 2, value.p, value.n);
}

/* What becomes of a field. */
struct fate {
    const char *to; /* its name for the slot; NULL: as it is */
    bool is_mapped;
    bool gives_way; /* the mapping gives its name to another field that is there */
};

/* What the mapping says of the fields of the data. */
static struct fate *fates_of(const struct connection *c, const struct data_fields *data)
{
    struct fate *fates = fm_xcalloc(data->n + 1, sizeof(*fates));
    for (size_t i = 0; i < c->n_mapping; i++) {
        const struct data_field *from = data_fields_find(data, fm_bytes_of(c->mapping[i].from));
        if (from == NULL)
            continue;
        const struct data_field *way = data_fields_find(data, fm_bytes_of(c->mapping[i].to));
        struct fate *f = &fates[from - data->items];
        f->to = f->is_mapped ? f->to : c->mapping[i].to;
        f->is_mapped = true;
        if (way != NULL)
            fates[way - data->items].gives_way = true;
    }
    return fates;
}

/* Only what the mapping names, and the constants. */
static void put_mapped(const struct connection *c, const struct data_fields *data, struct fm_buf *out)
{
    for (size_t i = 0; i < c->n_mapping; i++) {
        const struct data_field *from = data_fields_find(data, fm_bytes_of(c->mapping[i].from));
        if (from != NULL)
            put_field(fm_bytes_of(c->mapping[i].to), from->value, out);
    }
    fm_buf_append(out, c->constants.p, c->constants.n); /* of equal keys the last one counts */
}

int mapping_apply(const struct connection *c, const struct data_fields *data, struct fm_buf *out)
{
    if (c->n_mapping == 0 && !c->drop_unmapped && c->constants.n == 0) {
        fm_buf_append(out, data->data.p, data->data.n);
        return 0;
    }
    if (data->is_malformed)
        return -1;
    if (c->drop_unmapped) {
        put_mapped(c, data, out);
        return 0;
    }
    fm_autofree struct fate *fates = fates_of(c, data);
    for (size_t i = 0; i < data->n; i++) {
        const struct data_field *f = &data->items[i];
        if (fates[i].is_mapped)
            put_field(fm_bytes_of(fates[i].to), f->value, out);
        else if (!fates[i].gives_way)
            put_field(f->name, f->value, out);
    }
    fm_buf_append(out, c->constants.p, c->constants.n); /* of equal keys the last one counts */
    return 0;
}
