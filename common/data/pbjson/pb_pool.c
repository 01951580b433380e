/* Reads a FileDescriptorSet by hand (common links neither protobuf library): the numbers are those of
 * google/protobuf/descriptor.proto. See pb_pool.h. */
#include "pb_pool.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "arena.h"
#include "mem.h"
#include "wire.h"

/* ---- what a message's names and numbers lead to ---- */

struct key {
    UT_hash_handle hh;
    const char *name;
    const struct pb_field *field;
};

struct index {
    struct key *names;
    struct key *keys;
    const struct pb_field **by_number; /* ascending */
    size_t n;
};

struct symbol {
    UT_hash_handle hh;
    char *name;
    struct pb_message *message; /* or */
    struct pb_enum *enumeration;
    struct fm_bytes descriptor; /* of the message, for the second pass */
    bool map_entry;
};

struct pb_pool {
    struct fm_arena arena;
    struct symbol *symbols;
    struct pb_method *methods;
    size_t n_methods;
};

static _Noreturn void bad(const char *what)
{
    fm_abort(what);
}

static void *get(struct pb_pool *p, size_t n, size_t size)
{
    void *m = fm_arena_zalloc(&p->arena, n, size);
    if (m == NULL)
        bad("the descriptor set needs too much memory");
    return m;
}

/* One field of a descriptor. */
struct part {
    uint32_t number;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
};

static bool next(struct wire_reader *r, struct part *part)
{
    int got = wire_next(r, &part->number, &part->type, &part->val, &part->len);
    if (got < 0)
        bad("the descriptor set is malformed");
    return got > 0;
}

static size_t count(struct fm_bytes b, uint32_t number)
{
    struct wire_reader r = wire_reader(b);
    struct part part;
    size_t n = 0;
    while (next(&r, &part))
        n += part.number == number;
    return n;
}

/* The last field of that number. */
static struct fm_bytes text_of(struct fm_bytes b, uint32_t number)
{
    struct wire_reader r = wire_reader(b);
    struct part part;
    struct fm_bytes found = FM_NO_BYTES;
    while (next(&r, &part))
        if (part.number == number && part.type == WIRE_TYPE_LEN)
            found = part.len;
    return found;
}

static uint64_t number_of(struct fm_bytes b, uint32_t number)
{
    struct wire_reader r = wire_reader(b);
    struct part part;
    uint64_t found = 0;
    while (next(&r, &part))
        if (part.number == number && part.type == WIRE_TYPE_VARINT)
            found = part.val;
    return found;
}

static char *text(struct pb_pool *p, struct fm_bytes b)
{
    char *s = get(p, b.n + 1, 1);
    if (b.n > 0)
        memcpy(s, b.p, b.n);
    return s;
}

/* "prefix.name", or the name alone. */
static char *full_name(struct pb_pool *p, const char *prefix, struct fm_bytes name)
{
    size_t n = strlen(prefix);
    char *s = get(p, n + name.n + 2, 1);
    memcpy(s, prefix, n);
    if (n > 0)
        s[n++] = '.';
    memcpy(s + n, name.p, name.n);
    return s;
}

/* ---- first pass: all names ---- */

static struct symbol *add_symbol(struct pb_pool *p, char *name)
{
    struct symbol *s = get(p, 1, sizeof(*s));
    s->name = name;
    HASH_ADD_KEYPTR(hh, p->symbols, s->name, strlen(s->name), s);
    return s;
}

static struct symbol *find_symbol(const struct pb_pool *p, const char *name)
{
    struct symbol *s;
    HASH_FIND_STR(p->symbols, name, s);
    return s;
}

static void add_enum(struct pb_pool *p, const char *prefix, struct fm_bytes b)
{
    struct pb_enum *e = get(p, 1, sizeof(*e));
    struct pb_enum_value *values = get(p, count(b, 2), sizeof(*values));
    struct wire_reader r = wire_reader(b);
    struct part part;
    e->name = full_name(p, prefix, text_of(b, 1));
    e->values = values;
    e->is_null = strcmp(e->name, "google.protobuf.NullValue") == 0;
    while (next(&r, &part))
        if (part.number == 2)
            values[e->n_values++] = (struct pb_enum_value){text(p, text_of(part.len, 1)),
                                                           (int32_t)(int64_t)number_of(part.len, 2)};
    add_symbol(p, (char *)(uintptr_t)e->name)->enumeration = e;
}

static enum pb_known known_by(const char *name)
{
    static const struct {
        const char *name;
        enum pb_known known;
    } all[] = {
        {"Any",         PB_ANY       },
        {"Timestamp",   PB_TIMESTAMP },
        {"Duration",    PB_DURATION  },
        {"FieldMask",   PB_FIELD_MASK},
        {"Struct",      PB_STRUCT    },
        {"Value",       PB_VALUE     },
        {"ListValue",   PB_LIST_VALUE},
        {"DoubleValue", PB_WRAPPER   },
        {"FloatValue",  PB_WRAPPER   },
        {"Int64Value",  PB_WRAPPER   },
        {"UInt64Value", PB_WRAPPER   },
        {"Int32Value",  PB_WRAPPER   },
        {"UInt32Value", PB_WRAPPER   },
        {"BoolValue",   PB_WRAPPER   },
        {"StringValue", PB_WRAPPER   },
        {"BytesValue",  PB_WRAPPER   },
    };
    static const char package[] = "google.protobuf.";
    if (strncmp(name, package, sizeof(package) - 1) != 0)
        return PB_PLAIN;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(name + sizeof(package) - 1, all[i].name) == 0)
            return all[i].known;
    return PB_PLAIN;
}

static void add_message(struct pb_pool *p, const char *prefix, struct fm_bytes b)
{
    struct pb_message *m = get(p, 1, sizeof(*m));
    struct wire_reader r = wire_reader(b);
    struct part part;
    m->name = full_name(p, prefix, text_of(b, 1));
    m->known = known_by(m->name);
    struct symbol *s = add_symbol(p, (char *)(uintptr_t)m->name);
    s->message = m;
    s->descriptor = b;
    s->map_entry = number_of(text_of(b, 7), 7) != 0;
    while (next(&r, &part)) {
        if (part.number == 3)
            add_message(p, m->name, part.len);
        else if (part.number == 4)
            add_enum(p, m->name, part.len);
    }
}

/* ---- second pass: fields ---- */

/* What ".package.Type" names. */
static const struct symbol *type_named(struct pb_pool *p, struct fm_bytes name)
{
    const char *s = text(p, name);
    const struct symbol *found = find_symbol(p, s[0] == '.' ? s + 1 : s);
    if (found == NULL)
        bad("the descriptor set names a type that it lacks");
    return found;
}

static void read_field(struct pb_pool *p, struct fm_bytes b, struct pb_field *f)
{
    f->name = text(p, text_of(b, 1));
    f->json_name = text(p, text_of(b, 10)); /* protoc always writes it */
    f->number = (uint32_t)number_of(b, 3);
    f->type = (enum pb_type)number_of(b, 5);
    f->repeated = number_of(b, 4) == 3;
    bool optional = number_of(b, 17) != 0;
    bool in_oneof = count(b, 9) > 0;
    f->oneof = in_oneof && !optional ? (int)number_of(b, 9) : -1;
    f->presence = !f->repeated && (in_oneof || f->type == PB_MESSAGE);
    if (f->type == PB_MESSAGE || f->type == PB_ENUM) {
        const struct symbol *s = type_named(p, text_of(b, 6));
        f->message = s->message;
        f->enumeration = s->enumeration;
        f->is_map = f->repeated && s->map_entry;
    }
}

static int by_number(const void *a, const void *b)
{
    const struct pb_field *const *x = a, *const *y = b;
    return (*x)->number < (*y)->number ? -1 : (*x)->number > (*y)->number;
}

static void add_key(struct index *ix, const char *name, const struct pb_field *f)
{
    struct key *k;
    HASH_FIND_STR(ix->names, name, k);
    if (k != NULL)
        return;
    k = ix->keys++;
    k->name = name;
    k->field = f;
    HASH_ADD_KEYPTR(hh, ix->names, k->name, strlen(k->name), k);
}

static void read_message(struct pb_pool *p, const struct symbol *s)
{
    struct pb_message *m = s->message;
    struct pb_field *fields = get(p, count(s->descriptor, 2), sizeof(*fields));
    struct wire_reader r = wire_reader(s->descriptor);
    struct part part;
    m->fields = fields;
    m->n_oneofs = count(s->descriptor, 8);
    while (next(&r, &part))
        if (part.number == 2)
            read_field(p, part.len, &fields[m->n_fields++]);
    struct index *ix = get(p, 1, sizeof(*ix));
    ix->keys = get(p, 2 * m->n_fields, sizeof(*ix->keys));
    ix->by_number = get(p, m->n_fields, sizeof(*ix->by_number));
    for (size_t i = 0; i < m->n_fields; i++) {
        add_key(ix, fields[i].json_name, &fields[i]);
        add_key(ix, fields[i].name, &fields[i]);
        ix->by_number[ix->n++] = &fields[i];
    }
    qsort(ix->by_number, ix->n, sizeof(*ix->by_number), by_number); /* NOLINT: never NULL */
    m->index = ix;
}

static void read_service(struct pb_pool *p, const char *package, struct fm_bytes b)
{
    const char *service = full_name(p, package, text_of(b, 1));
    struct wire_reader r = wire_reader(b);
    struct part part;
    while (next(&r, &part))
        if (part.number == 2) {
            p->methods = fm_xgrow(p->methods, p->n_methods, sizeof(*p->methods));
            p->methods[p->n_methods++] = (struct pb_method){
                .service = service,
                .name = text(p, text_of(part.len, 1)),
                .input = type_named(p, text_of(part.len, 2))->message,
                .output = type_named(p, text_of(part.len, 3))->message,
                .client_streaming = number_of(part.len, 5) != 0,
                .server_streaming = number_of(part.len, 6) != 0,
            };
        }
}

/* ---- the pool ---- */

struct pb_pool *pb_pool_new(struct fm_bytes set)
{
    struct pb_pool *p = fm_xcalloc(1, sizeof(*p));
    struct wire_reader files = wire_reader(set);
    struct part file, part;
    fm_arena_init(&p->arena, 64u * 1024 * 1024);
    while (next(&files, &file)) {
        const char *package = text(p, text_of(file.len, 2));
        struct wire_reader r = wire_reader(file.len);
        while (next(&r, &part)) {
            if (part.number == 4)
                add_message(p, package, part.len);
            else if (part.number == 5)
                add_enum(p, package, part.len);
        }
    }
    for (const struct symbol *s = p->symbols; s != NULL; s = s->hh.next)
        if (s->message != NULL)
            read_message(p, s);
    files = wire_reader(set);
    while (next(&files, &file)) {
        const char *package = text(p, text_of(file.len, 2));
        struct wire_reader r = wire_reader(file.len);
        while (next(&r, &part))
            if (part.number == 6)
                read_service(p, package, part.len);
    }
    return p;
}

void pb_pool_free(struct pb_pool *p)
{
    if (p == NULL)
        return;
    for (struct symbol *s = p->symbols; s != NULL; s = s->hh.next)
        if (s->message != NULL) {
            struct index *ix = (struct index *)(uintptr_t)s->message->index;
            HASH_CLEAR(hh, ix->names);
        }
    HASH_CLEAR(hh, p->symbols);
    free(p->methods);
    fm_arena_done(&p->arena);
    free(p);
}

const struct pb_message *pb_pool_message(const struct pb_pool *p, const char *name)
{
    const struct symbol *s = find_symbol(p, name);
    return s == NULL ? NULL : s->message;
}

const struct pb_enum *pb_pool_enum(const struct pb_pool *p, const char *name)
{
    const struct symbol *s = find_symbol(p, name);
    return s == NULL ? NULL : s->enumeration;
}

const struct pb_method *pb_pool_method(const struct pb_pool *p, const char *service, const char *method)
{
    for (size_t i = 0; i < p->n_methods; i++)
        if (strcmp(p->methods[i].service, service) == 0 && strcmp(p->methods[i].name, method) == 0)
            return &p->methods[i];
    return NULL;
}

const struct pb_method *pb_pool_methods(const struct pb_pool *p, size_t *n)
{
    *n = p->n_methods;
    return p->methods;
}

const struct pb_field *pb_field_by_number(const struct pb_message *m, uint32_t number)
{
    const struct index *ix = m->index;
    size_t low = 0, high = ix->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ix->by_number[mid]->number < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < ix->n && ix->by_number[low]->number == number ? ix->by_number[low] : NULL;
}

const struct pb_field *pb_field_by_name(const struct pb_message *m, const char *name)
{
    const struct index *ix = m->index;
    struct key *k;
    HASH_FIND_STR(ix->names, name, k);
    return k == NULL ? NULL : k->field;
}

const char *pb_enum_name(const struct pb_enum *e, int32_t number)
{
    for (size_t i = 0; i < e->n_values; i++)
        if (e->values[i].number == number)
            return e->values[i].name;
    return NULL;
}

const struct pb_enum_value *pb_enum_by_name(const struct pb_enum *e, const char *name)
{
    for (size_t i = 0; i < e->n_values; i++)
        if (strcmp(e->values[i].name, name) == 0)
            return &e->values[i];
    return NULL;
}
