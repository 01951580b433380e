/* Values between JSON and libjq. See jq_values.h. */
#include "jq_values.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"
#include "value.h"

#define MANY_DIGITS 16 /* of the smallest integer beyond 2^53 */
#define LARGE 0x1p53
#define MAX_PATH 200 /* bytes of a path in a message */
/* Of a token's text, with its NUL: longer than any number's, so that lengths differ. */
#define TOKEN_BYTES 40
#define TOKEN_LENGTH (TOKEN_BYTES - 1)
#define TOKEN_FORMAT "\x7f%016" PRIx64 ":%021zu"
#define TOKEN_SECRET 18 /* bytes of a token before the number of its integer */

bool jq_may_have_integers(const char *json, size_t n)
{
    size_t run = 0;
    for (size_t i = 0; i < n && run < MANY_DIGITS; i++)
        run = json[i] >= '0' && json[i] <= '9' ? run + 1 : 0;
    return run == MANY_DIGITS;
}

/* ---- finding them ---- */

struct finding {
    struct fm_arena *a;
    struct jq_integers *all;
    size_t cap;
    char path[MAX_PATH];
    bool full;
};

static void add(struct finding *f, struct number n)
{
    struct jq_integers *all = f->all;
    if (all->n == f->cap) {
        size_t cap = f->cap == 0 ? 16 : f->cap * 2;
        struct jq_integer *items = fm_arena_alloc(f->a, cap * sizeof(*items));
        if (items == NULL) {
            f->full = true;
            return;
        }
        if (all->n > 0)
            memcpy(items, all->items, all->n * sizeof(*items));
        all->items = items;
        f->cap = cap;
    }
    const char *path = fm_arena_strndup(f->a, f->path, strlen(f->path));
    f->full = path == NULL;
    all->items[all->n++] = (struct jq_integer){n, path, true};
}

static void find(struct finding *f, const struct fm_value *v, size_t at)
{
    enum fm_value_kind kind = fm_value_kind(v);
    struct number n = value_as_number(v);
    if (n.exact)
        add(f, n);
    for (size_t i = 0; (kind == FM_LIST || kind == FM_MAP) && i < fm_value_size(v) && !f->full; i++) {
        int len = kind == FM_LIST ? snprintf(f->path + at, MAX_PATH - at, "[%zu]", i)
                                  : snprintf(f->path + at, MAX_PATH - at, ".%.60s", fm_value_key(v, i));
        size_t end = at + (size_t)len < MAX_PATH ? at + (size_t)len : MAX_PATH - 1;
        f->path[end] = '\0';
        find(f, fm_value_at(v, i), end);
    }
    f->path[at] = '\0';
}

/* Of equal ones the first that was found comes first. */
static int by_value(const void *a, const void *b)
{
    const struct jq_integer *x = a, *y = b;
    int order = number_compare(x->n, y->n);
    return order != 0 ? order : (x->path > y->path) - (x->path < y->path);
}

bool jq_find_integers(const struct fm_value *v, struct fm_arena *a, uint64_t secret, struct jq_integers *ret)
{
    struct finding f = {.a = a, .all = ret};
    *ret = (struct jq_integers){.secret = secret};
    find(&f, v, 0);
    if (f.full)
        return false;
    if (ret->n > 0)
        qsort(ret->items, ret->n, sizeof(*ret->items), by_value);
    size_t kept = 0;
    for (size_t i = 0; i < ret->n; i++)
        if (kept == 0 || number_compare(ret->items[kept - 1].n, ret->items[i].n) != 0)
            ret->items[kept++] = ret->items[i];
    ret->n = kept;
    return true;
}

static size_t index_of(const struct jq_integers *all, struct number n)
{
    size_t lo = 0, hi = all->n;
    while (lo + 1 < hi) {
        size_t mid = (lo + hi) / 2;
        if (number_compare(all->items[mid].n, n) <= 0)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* ---- into libjq ---- */

/* Odd, between 2^52 and 2^53: one more or less is another number. They grow with the integers. */
static double stand_in(const struct jq_integers *all, size_t i)
{
    uint64_t room = (uint64_t)1 << 50, first = ((uint64_t)1 << 52) + all->secret % room;
    return (double)((first | 1) + 2 * (uint64_t)i);
}

static jv integer_input(struct number n, const struct jq_integers *all, enum jq_form form)
{
    char text[TOKEN_BYTES + 8];
    size_t i = index_of(all, n);
    if (form == JQ_TEXT) {
        (void)number_print(n, text);
        return jv_string(text);
    }
    if (form == JQ_NEAREST || !all->items[i].hidden)
        return jv_number(n.near);
    if (form == JQ_STAND_IN)
        return jv_number(n.near < 0 ? -stand_in(all, all->n - 1 - i) : stand_in(all, i));
    (void)snprintf(text, sizeof(text), TOKEN_FORMAT, all->secret, i);
    return jv_string(text);
}

jv jq_input(const struct fm_value *v, const struct jq_integers *all, enum jq_form form)
{
    struct number n;
    jv to;
    switch (fm_value_kind(v)) {
    case FM_NULL:
        return jv_null();
    case FM_BOOL:
        return jv_bool(fm_value_bool(v, false));
    case FM_NUMBER:
        n = value_as_number(v);
        return n.exact ? integer_input(n, all, form) : jv_number(n.near);
    case FM_STRING:
        return jv_string_sized(fm_value_string(v, ""), (int)fm_value_size(v));
    case FM_LIST:
        to = jv_array();
        for (size_t i = 0; i < fm_value_size(v); i++)
            to = jv_array_append(to, jq_input(fm_value_at(v, i), all, form));
        return to;
    case FM_MAP:
        to = jv_object();
        for (size_t i = 0; i < fm_value_size(v); i++)
            to = jv_object_set(to, jv_string(fm_value_key(v, i)), jq_input(fm_value_at(v, i), all, form));
        return to;
    }
    return jv_null();
}

/* ---- out of libjq ---- */

struct writing {
    const struct jq_integers *all;
    enum jq_form form;
    enum jq_as as;
    struct fm_buf *out;
    char mark[TOKEN_BYTES]; /* what tokens begin with, what stand-ins may begin with */
};

static void put(struct writing *w, const char *s)
{
    fm_buf_append(w->out, s, strlen(s));
}

/* As a number's digits; as jq's tostring has them when that is asked for. */
static void put_integer(struct writing *w, size_t i, bool in_text)
{
    char text[NUMBER_TEXT_BYTES];
    struct number n = w->all->items[i].n;
    if (w->as != JQ_AS_EXACT && in_text) {
        jv shown = jv_dump_string(jv_number(n.near), 0);
        put(w, jv_string_value(shown));
        jv_free(shown);
        return;
    }
    fm_buf_append(w->out, text, number_print(w->as == JQ_AS_EXACT ? n : number_of_double(n.near), text));
}

/* Which integer a token stands for; SIZE_MAX: it is none. */
static size_t token_at(const struct writing *w, const char *s)
{
    if (strncmp(s, w->mark, TOKEN_SECRET) != 0 || strnlen(s, TOKEN_LENGTH) < TOKEN_LENGTH)
        return SIZE_MAX;
    size_t i = (size_t)strtoull(s + TOKEN_SECRET, NULL, 10);
    return i < w->all->n ? i : SIZE_MAX;
}

static size_t stand_in_of(const struct writing *w, double d)
{
    double first = stand_in(w->all, 0), from = fabs(d) - first;
    if (from < 0 || from >= 2 * (double)w->all->n || fmod(from, 2) != 0)
        return SIZE_MAX;
    size_t i = d < 0 ? w->all->n - 1 - (size_t)(from / 2) : (size_t)(from / 2);
    return w->all->items[i].hidden && (w->all->items[i].n.near < 0) == (d < 0) ? i : SIZE_MAX;
}

/* The digits of a stand-in, perhaps with a sign. */
static size_t stand_in_at(const struct writing *w, const char *s, size_t *ret_n)
{
    char *end;
    if (*s != '-' && (*s < '1' || *s > '9'))
        return SIZE_MAX;
    double d = strtod(s, &end);
    *ret_n = (size_t)(end - s);
    return *ret_n >= MANY_DIGITS && *ret_n <= MANY_DIGITS + 1 ? stand_in_of(w, d) : SIZE_MAX;
}

/* What stands for an integer at this place of a text, and how long that is. */
static size_t integer_at(const struct writing *w, const char *s, bool after_digit, size_t *ret_n)
{
    bool quoted = w->form == JQ_TOKEN && w->all->in_json && *s == '"' && s[1] == w->mark[0];
    *ret_n = TOKEN_LENGTH + (quoted ? 2 : 0);
    if (quoted)
        return strnlen(s, *ret_n) == *ret_n && s[*ret_n - 1] == '"' ? token_at(w, s + 1) : SIZE_MAX;
    if (w->form == JQ_TOKEN)
        return *s == w->mark[0] ? token_at(w, s) : SIZE_MAX;
    return after_digit ? SIZE_MAX : stand_in_at(w, s, ret_n);
}

/* A text with what stands for integers put back. */
static void put_back(struct writing *w, const char *s, struct fm_buf *plain)
{
    struct fm_buf *out = w->out;
    w->out = plain;
    for (bool digit = false; *s != '\0';) {
        size_t n, i = integer_at(w, s, digit, &n);
        digit = *s >= '0' && *s <= '9';
        if (i != SIZE_MAX)
            put_integer(w, i, true);
        else
            fm_buf_append(plain, s, n = 1);
        s += n;
    }
    w->out = out;
}

static bool has_none(const struct writing *w)
{
    return w->all == NULL || w->form == JQ_NEAREST || w->form == JQ_TEXT;
}

/* A text without what stands for integers. */
static void put_plain(struct writing *w, const char *s)
{
    char number[NUMBER_TEXT_BYTES], *end;
    double d = w->as == JQ_AS_LOOSE && (*s == '-' || (*s >= '1' && *s <= '9')) ? strtod(s, &end) : 0;
    if (isfinite(d) && fabs(d) >= LARGE && *end == '\0')
        fm_buf_append(w->out, number, number_print(number_of_double(d), number));
    else
        json_string_write(s, strlen(s), w->out);
}

static void put_text(struct writing *w, const char *s)
{
    fm_auto(fm_buf) plain = {0};
    if (has_none(w)) {
        put_plain(w, s);
        return;
    }
    put_back(w, s, &plain);
    fm_buf_append(&plain, "", 1);
    put_plain(w, (const char *)plain.p);
}

/* A string that is a token may be the integer, or its text: see JQ_AS_LOOSE. */
static void put_string(struct writing *w, const char *s)
{
    size_t n, i = SIZE_MAX;
    if (w->all != NULL && w->form == JQ_TOKEN && strlen(s) == TOKEN_LENGTH)
        i = integer_at(w, s, false, &n);
    if (i != SIZE_MAX)
        put_integer(w, i, false);
    else
        put_text(w, s);
}

/* Nobody who reads it could say what stands behind a NUL. */
static bool is_text(jv string)
{
    return strlen(jv_string_value(string)) == (size_t)jv_string_length_bytes(jv_copy(string));
}

static void put_number(struct writing *w, double d)
{
    char text[NUMBER_TEXT_BYTES];
    size_t i = w->all != NULL && w->form == JQ_STAND_IN ? stand_in_of(w, d) : SIZE_MAX;
    if (i != SIZE_MAX)
        put_integer(w, i, false);
    else if (isnan(d))
        put(w, "null");
    else
        fm_buf_append(w->out, text,
                      number_print(number_of_double(isinf(d) ? copysign(DBL_MAX, d) : d), text));
}

static bool write_value(struct writing *w, jv v, unsigned depth);

static bool write_list(struct writing *w, jv v, unsigned depth)
{
    bool ok = true;
    put(w, "[");
    for (int i = 0; ok && i < jv_array_length(jv_copy(v)); i++) {
        put(w, i > 0 ? "," : "");
        ok = write_value(w, jv_array_get(jv_copy(v), i), depth + 1);
    }
    put(w, "]");
    jv_free(v);
    return ok;
}

static bool write_map(struct writing *w, jv v, unsigned depth)
{
    bool ok = true, first = true;
    put(w, "{");
    for (int i = jv_object_iter(v); ok && jv_object_iter_valid(v, i); i = jv_object_iter_next(v, i)) {
        jv key = jv_object_iter_key(v, i);
        put(w, first ? "" : ",");
        first = false;
        put_text(w, jv_string_value(key));
        put(w, ":");
        ok = is_text(key) && write_value(w, jv_object_iter_value(v, i), depth + 1);
        jv_free(key);
    }
    put(w, "}");
    jv_free(v);
    return ok;
}

static bool write_value(struct writing *w, jv v, unsigned depth)
{
    bool ok = depth <= JQ_OUTPUT_DEPTH;
    if (!ok) {
        jv_free(v);
        return false;
    }
    switch (jv_get_kind(v)) {
    case JV_KIND_ARRAY:
        return write_list(w, v, depth);
    case JV_KIND_OBJECT:
        return write_map(w, v, depth);
    case JV_KIND_STRING:
        ok = is_text(v);
        put_string(w, jv_string_value(v));
        break;
    case JV_KIND_NUMBER:
        put_number(w, jv_number_value(v));
        break;
    case JV_KIND_TRUE:
        put(w, "true");
        break;
    case JV_KIND_FALSE:
        put(w, "false");
        break;
    case JV_KIND_NULL:
    case JV_KIND_INVALID:
        put(w, "null");
        break;
    }
    jv_free(v);
    return ok;
}

static struct writing writing(const struct jq_integers *all, enum jq_form form, enum jq_as as,
                              struct fm_buf *out)
{
    struct writing w = {.all = all, .form = form, .as = as, .out = out};
    if (all != NULL)
        (void)snprintf(w.mark, sizeof(w.mark), TOKEN_FORMAT, all->secret, (size_t)0);
    return w;
}

bool jq_write(jv v, const struct jq_integers *all, enum jq_form form, enum jq_as as, struct fm_buf *out)
{
    struct writing w = writing(all, form, as, out);
    return write_value(&w, v, 1);
}

void jq_write_text(const char *s, const struct jq_integers *all, enum jq_form form, enum jq_as as,
                   struct fm_buf *out)
{
    struct writing w = writing(all, form, as, out);
    if (has_none(&w))
        fm_buf_append(out, s, strlen(s));
    else
        put_back(&w, s, out);
}
