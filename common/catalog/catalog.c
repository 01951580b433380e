/* The catalog: reads the embedded texts, once. See catalog.h. */
#include "catalog.h"

#include <pthread.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "rules.h"
#include "type_texts.h"

#define CATALOG_BYTES (4u << 20)

static struct {
    pthread_once_t once;
    struct fm_arena arena;
    struct type_spec *types;
} catalog = {.once = PTHREAD_ONCE_INIT};

static void *alloc(size_t n, size_t size)
{
    void *p = fm_arena_zalloc(&catalog.arena, n, size);
    if (p == NULL)
        fm_abort("there is no memory for the catalog of routine types");
    return p;
}

static const char *text_at(const struct fm_value *v, const char *key)
{
    return fm_value_string(fm_value_get(v, key), "");
}

static void read_slots(struct type_spec *t, const struct fm_value *list)
{
    t->n_slots = fm_value_size(list);
    struct type_slot *slots = alloc(t->n_slots + 1, sizeof(*slots));
    for (size_t i = 0; i < t->n_slots; i++)
        slots[i] = (struct type_slot){text_at(fm_value_at(list, i), "name"),
                                      fm_value_get(fm_value_at(list, i), "data")};
    t->slots = slots;
}

static void read_events(struct type_spec *t, const struct fm_value *list)
{
    t->n_events = fm_value_size(list);
    struct type_event *events = alloc(t->n_events + 1, sizeof(*events));
    for (size_t i = 0; i < t->n_events; i++) {
        const struct fm_value *e = fm_value_at(list, i);
        events[i] = (struct type_event){.name = text_at(e, "name"),
                                        .notice = fm_value_bool(fm_value_get(e, "notice"), false),
                                        .call = fm_value_bool(fm_value_get(e, "call"), false)};
    }
    t->events = events;
}

/* The texts are the program's own: a fault in one is a fault of the program. */
static void read_type(struct type_spec *t, const struct embedded_text *text)
{
    struct fm_err err = {0};
    struct fm_buf schema = {0};
    const struct fm_value *v = json_value_read((const char *)text->text, text->n, &catalog.arena, &err);
    if (v == NULL || strcmp(text_at(v, "name"), text->name) != 0)
        fm_abort(v == NULL ? err.msg : "a routine type of the catalog is not named as its file is");
    json_value_write(fm_value_get(v, "config"), &schema);
    t->config_text = fm_arena_strndup(&catalog.arena, schema.p, schema.n);
    t->config = type_schema_read((const char *)schema.p, schema.n, &catalog.arena, &err);
    fm_buf_done(&schema);
    if (t->config == NULL || t->config_text == NULL)
        fm_abort(err.msg);
    t->name = text_at(v, "name");
    t->version = (uint32_t)fm_value_number(fm_value_get(v, "version"), 0);
    t->effects = fm_value_bool(fm_value_get(v, "effects"), false);
    t->rules = rules_of(t->name);
    read_slots(t, fm_value_get(v, "slots"));
    read_events(t, fm_value_get(v, "events"));
}

static void read_catalog(void)
{
    fm_arena_init(&catalog.arena, CATALOG_BYTES);
    catalog.types = alloc(type_texts_count, sizeof(*catalog.types));
    for (size_t i = 0; i < type_texts_count; i++)
        read_type(&catalog.types[i], &type_texts[i]);
}

const struct type_spec *type_catalog(size_t *ret_n)
{
    (void)pthread_once(&catalog.once, read_catalog);
    *ret_n = type_texts_count;
    return catalog.types;
}

const struct type_spec *type_catalog_find(const char *name)
{
    size_t n;
    const struct type_spec *types = type_catalog(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const struct fm_value *type_schema_read(const char *text, size_t n, struct fm_arena *a, struct fm_err *err)
{
    if (n > TYPE_SCHEMA_BYTES) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, "config_schema",
                         "the schema of the configuration has %zu bytes; the limit is %u", n,
                         TYPE_SCHEMA_BYTES);
        return NULL;
    }
    const struct fm_value *v = json_value_read_unique(text, n, a, err);
    if (v == NULL) {
        fm_err_wrap(err, "the schema of the configuration");
        return NULL;
    }
    if (fm_value_kind(v) != FM_MAP) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, "config_schema",
                         "the schema of the configuration must be an object");
        return NULL;
    }
    return json_schema_verify(v, "config_schema", JSON_SCHEMA_PLAIN, err) == 0 ? v : NULL;
}
