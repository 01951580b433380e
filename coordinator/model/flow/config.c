/* Validation of flows: values against the schemas of routine types. See config.h. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "path.h"
#include "pbc.h"
#include "program_check.h"
#include "value.h"

/* ---- faults ---- */

struct said {
    const char *path; /* of the value that is checked */
    struct fm_err *err;
};

/* The path of a part of the value. */
static void join(char out[FLOW_PATH_BYTES], const char *path, const char *part)
{
    flow_path(out, "%s%s%s", path, part[0] == '\0' || part[0] == '[' ? "" : ".", part);
}

/* What a message is about: the last part of a path. */
static const char *subject(const char *part)
{
    const char *dot = strrchr(part, '.');
    return part[0] == '\0' ? "the configuration" : dot != NULL ? dot + 1 : part;
}

static void on_fault(void *arg, const struct json_schema_fault *f)
{
    const struct said *s = arg;
    char object[FLOW_PATH_BYTES], field[FLOW_PATH_BYTES];
    join(object, s->path, f->object);
    switch (f->kind) {
    case JSON_SCHEMA_MISSING:
        join(field, object, f->key);
        FLOW_FAULT(s->err, field, "%.64s is missing", f->key);
        return;
    case JSON_SCHEMA_UNKNOWN:
        FLOW_FAULT(s->err, object, "%s", f->message);
        return;
    case JSON_SCHEMA_FAULT:
        join(field, s->path, f->path);
        FLOW_FAULT(s->err, field, "%.64s %s", subject(f->path), f->message);
        return;
    }
}

/* The value, in the arena; NULL after a fault. */
static const struct fm_value *read_value(const Google__Protobuf__Struct *s, struct flow_values *w,
                                         const struct said *said)
{
    fm_auto(fm_buf) b = {0};
    fm_auto(fm_err) err = {0};
    fm_arena_reset(&w->arena);
    if (s != NULL)
        pb_pack(s, &b);
    const struct fm_value *v = value_decode_struct((struct fm_bytes){b.p, b.n}, &w->arena, &err);
    if (v == NULL)
        FLOW_FAULT(said->err, said->path, "%s", err.msg);
    return v;
}

/* False when nothing more can be said of the value. */
static bool check(const struct fm_value *schema, const struct fm_value *v, struct flow_values *w,
                  const struct said *said)
{
    fm_auto(fm_err) err = {0};
    int rc = json_schema_check_plain(schema, v, &w->work, on_fault, (void *)said, &err);
    if (rc < 0)
        FLOW_FAULT(said->err, said->path, "%s", err.msg);
    return rc >= 0;
}

/* ---- programs and schemas in a configuration ---- */

#define PROGRAM_WORK 256 /* of one that is found, in comparisons */

static bool can_find(struct flow_values *w, size_t n)
{
    w->work.done += n;
    return w->work.done <= w->work.most;
}

/* A member by its key, which is no path: of a key that occurs twice the last one counts. */
static const struct fm_value *member(const struct fm_value *map, const char *key, struct flow_values *w)
{
    size_t n = fm_value_kind(map) == FM_MAP ? fm_value_size(map) : 0;
    if (!can_find(w, n / 8 + 1))
        return NULL;
    while (n-- > 0)
        if (strcmp(fm_value_key(map, n), key) == 0)
            return fm_value_at(map, n);
    return NULL;
}

static void find_programs(const struct fm_value *schema, const struct fm_value *v, const char *path,
                          struct flow_values *w);

/* The schema of a property: its own, or that of all others. */
static const struct fm_value *property_schema(const struct fm_value *schema, const char *key,
                                              struct flow_values *w)
{
    const struct fm_value *own = member(member(schema, "properties", w), key, w);
    return own != NULL ? own : member(schema, "additionalProperties", w);
}

static void find_in_properties(const struct fm_value *schema, const struct fm_value *map, const char *path,
                               struct flow_values *w)
{
    bool any = member(schema, "properties", w) != NULL || member(schema, "additionalProperties", w) != NULL;
    size_t n = any ? fm_value_size(map) : 0;
    for (size_t i = 0; i < n && can_find(w, 1); i++) {
        const char *key = fm_value_key(map, i);
        const struct fm_value *property = property_schema(schema, key, w), *v = fm_value_at(map, i);
        char field[FLOW_PATH_BYTES];
        if (property == NULL || member(map, key, w) != v)
            continue;
        join(field, path, key);
        find_programs(property, v, field, w);
    }
}

static void find_in_items(const struct fm_value *items, const struct fm_value *list, const char *path,
                          struct flow_values *w)
{
    for (size_t i = 0; items != NULL && i < fm_value_size(list) && can_find(w, 1); i++) {
        char field[FLOW_PATH_BYTES];
        flow_path(field, "%s[%zu]", path, i);
        find_programs(items, fm_value_at(list, i), field, w);
    }
}

static void find_programs(const struct fm_value *schema, const struct fm_value *v, const char *path,
                          struct flow_values *w)
{
    const char *format = fm_value_string(member(schema, "format", w), "");
    enum fm_value_kind kind = fm_value_kind(v);
    bool jq = kind == FM_STRING && strcmp(format, "jq") == 0;
    bool own = (kind == FM_MAP || kind == FM_STRING) && strcmp(format, "json-schema") == 0;
    bool foreign = (kind == FM_MAP || kind == FM_STRING) && strcmp(format, "json-schema-foreign") == 0;
    if ((jq || own || foreign) && !can_find(w, PROGRAM_WORK))
        return;
    if (jq)
        program_check_add_jq(w->programs, path, fm_value_string(v, ""));
    else if (own || foreign)
        program_check_add_schema(w->programs, path, own ? PROGRAM_SCHEMA : PROGRAM_TOOL_SCHEMA, v);
    else if (kind == FM_MAP)
        find_in_properties(schema, v, path, w);
    else if (kind == FM_LIST)
        find_in_items(member(schema, "items", w), v, path, w);
}

/* ---- values ---- */

void flow_check_config(const Fermata__V1__Routine *r, const struct type_spec *t, const char *path,
                       struct flow_values *w, struct fm_err *err)
{
    char field[FLOW_PATH_BYTES];
    const struct said said = {field, err};
    flow_path(field, "%s.config", path);
    if (t == NULL || t->config == NULL)
        return;
    const struct fm_value *v = read_value(r->config, w, &said);
    if (v == NULL)
        return;
    if (!check(t->config, v, w, &said))
        return;
    if (t->rules != NULL)
        t->rules(t->config, v, &w->work, on_fault, (void *)&said);
    if (w->programs != NULL)
        find_programs(t->config, v, field, w);
    if (!can_find(w, 0))
        FLOW_FAULT(err, field, JSON_SCHEMA_TOO_LARGE);
}

void flow_check_data(const Google__Protobuf__Struct *data, const struct fm_value *schema, const char *path,
                     struct fm_err *err)
{
    struct flow_values w = {.programs = NULL};
    const struct said said = {path, err};
    fm_arena_init(&w.arena, FLOW_VALUE_BYTES);
    const struct fm_value *v = read_value(data, &w, &said);
    if (v != NULL)
        (void)check(schema, v, &w, &said);
    fm_arena_done(&w.arena);
}

/* ---- tools that nobody answers ---- */

/* Of a key that occurs twice the last one counts, as it does for hosts. NULL: it is not there. */
static const Google__Protobuf__Value *field_of(const Google__Protobuf__Struct *s, const char *key)
{
    for (size_t i = s == NULL ? 0 : s->n_fields; i-- > 0;)
        if (strcmp(s->fields[i]->key, key) == 0)
            return s->fields[i]->value;
    return NULL;
}

/* NULL: there is none, or it is no text. */
static const char *text_of(const Google__Protobuf__Struct *s, const char *key)
{
    const Google__Protobuf__Value *v = field_of(s, key);
    return v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE ? v->string_value : NULL;
}

/* Whether a connection leads on what the routine emits at one of its calls. */
static bool takes_calls(const Fermata__V1__Connection *c, const Fermata__V1__Routine *r,
                        const struct type_spec *t)
{
    if (c->from == NULL || strcmp(c->from->routine, r->id) != 0)
        return false;
    for (size_t i = 0; i < t->n_events; i++)
        if (t->events[i].call && strcmp(t->events[i].name, c->from->event) == 0)
            return true;
    return false;
}

/* The tools that a routine's connections take: all of them, or these names, sorted. */
struct taken {
    bool all;
    const char **names;
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void find_taken(const Fermata__V1__Flow *f, const Fermata__V1__Routine *r, const struct type_spec *t,
                       struct taken *ret)
{
    ret->all = false;
    ret->n = 0;
    for (size_t i = 0; i < f->n_connections && !ret->all; i++) {
        const Fermata__V1__Connection *c = f->connections[i];
        if (!takes_calls(c, r, t))
            continue;
        const char *only = text_of(c->filter, "name");
        if (field_of(c->filter, "name") == NULL)
            ret->all = true;
        else if (only != NULL)
            ret->names[ret->n++] = only;
    }
    qsort(ret->names, ret->n, sizeof(*ret->names), by_name);
}

static bool has_calls(const struct type_spec *t)
{
    for (size_t i = 0; t != NULL && i < t->n_events; i++)
        if (t->events[i].call)
            return true;
    return false;
}

void flow_unbounded_agents(const Fermata__V1__Flow *f, void (*add)(void *arg, const char *routine), void *arg)
{
    for (size_t i = 0; i < f->n_routines; i++) {
        const Fermata__V1__Routine *r = f->routines[i];
        const Google__Protobuf__Value *limits = field_of(r->config, "limits");
        bool is_map = limits != NULL && limits->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        if (strcmp(r->type, "llm_agent") == 0 &&
            (!is_map || field_of(limits->struct_value, "max_turns") == NULL))
            add(arg, r->id);
    }
}

void flow_untaken_tools(const Fermata__V1__Flow *f, const struct flow_types *known,
                        void (*add)(void *arg, const char *routine, const char *tool), void *arg)
{
    fm_autofree const char **names = fm_xcalloc(f->n_connections + 1, sizeof(*names));
    struct taken taken = {.names = names};
    for (size_t i = 0; i < f->n_routines; i++) {
        const Fermata__V1__Routine *r = f->routines[i];
        const struct type_spec *t = flow_type(r->type, known);
        const Google__Protobuf__Value *tools = field_of(r->config, "tools");
        if (!has_calls(t) || tools == NULL || tools->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE)
            continue;
        find_taken(f, r, t, &taken);
        for (size_t k = 0; k < tools->list_value->n_values && !taken.all; k++) {
            const Google__Protobuf__Value *tool = tools->list_value->values[k];
            bool is_map = tool->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
            const char *name = is_map ? text_of(tool->struct_value, "name") : NULL;
            if (name != NULL && bsearch(&name, names, taken.n, sizeof(*names), by_name) == NULL)
                add(arg, r->id, name);
        }
    }
}
