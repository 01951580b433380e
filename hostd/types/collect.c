/* Groups in a routine's state. A group has a small record ("g:" name) and a list ("i:" name), so
 * that a datum costs what it brings, however many came before. See collect.h. */
#include "collect.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY_BYTES (COLLECT_NAME_BYTES - 3) /* with its quotes */

static void key_of(const struct collect *g, const char *what, char out[COLLECT_KEY_BYTES])
{
    snprintf(out, COLLECT_KEY_BYTES, "%s:%s", what, g->name);
}

static void read_group(struct collect *g)
{
    char key[COLLECT_KEY_BYTES];
    key_of(g, "g", key);
    const struct fm_value *v = fm_ctx_state_get(g->ctx, key);
    g->n = (size_t)fm_value_number(fm_value_get(v, "n"), 0);
    g->expected = fm_value_number(fm_value_get(v, "expected"), 0);
    g->round = fm_value_number(fm_value_get(v, "round"), 0);
    g->is_older = g->n > 0 && !fm_value_bool(fm_value_get(v, "exact"), false);
}

static void write_group(struct collect *g)
{
    char key[COLLECT_KEY_BYTES];
    struct fm_value *v = fm_map(g->ctx);
    key_of(g, "g", key);
    fm_map_set(g->ctx, v, "n", fm_number(g->ctx, (double)g->n));
    if (g->expected > 0)
        fm_map_set(g->ctx, v, "expected", fm_number(g->ctx, g->expected));
    fm_map_set(g->ctx, v, "round", fm_number(g->ctx, g->round));
    if (!g->is_older)
        fm_map_set(g->ctx, v, "exact", fm_bool(g->ctx, true));
    fm_ctx_state_set(g->ctx, key, v);
}

/* Integers that their doubles cannot tell apart by their digits. */
static void put_number(const struct fm_value *v, char *out, size_t n)
{
    int64_t i;
    uint64_t u;
    double d = fm_value_number(v, 0);
    if (fabs(d) < 0x1p53 || (!fm_value_int64(v, &i) && !fm_value_uint64(v, &u)))
        snprintf(out, n, "%.17g", d);
    else if (fm_value_int64(v, &i))
        snprintf(out, n, "%" PRId64, i);
    else
        snprintf(out, n, "%" PRIu64, u);
}

/* Whether the text is also that of a number, of true or false, or of a quoted text. */
static bool is_ambiguous(const char *text)
{
    char again[40], *end;
    if (text[0] == '"' || strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return true;
    if (strspn(text + (text[0] == '-'), "0123456789") == strlen(text + (text[0] == '-')) && strlen(text) > 15)
        return true; /* perhaps of an integer beyond 2^53 */
    snprintf(again, sizeof(again), "%.17g", strtod(text, &end));
    return end != text && strcmp(again, text) == 0;
}

/* 1 and "1" are different keys. A group that was begun when they were not is the group of both. */
static void read_text_group(struct collect *g, const char *text)
{
    bool quoted = is_ambiguous(text);
    snprintf(g->name, sizeof(g->name), quoted ? "\"%s\"" : "%s", text);
    read_group(g);
    if (!quoted || g->n > 0)
        return;
    struct collect plain = *g;
    snprintf(plain.name, sizeof(plain.name), "%s", text);
    read_group(&plain);
    if (plain.is_older)
        *g = plain;
}

const struct fm_value *collect_key(const struct collect *g)
{
    char text[COLLECT_NAME_BYTES];
    size_t n = strlen(g->name);
    bool quoted = !g->is_older && n > 1 && g->name[0] == '"';
    snprintf(text, sizeof(text), "%.*s", (int)(quoted ? n - 2 : n), g->name + (quoted ? 1 : 0));
    return fm_string(g->ctx, text);
}

int collect_begin(struct collect *g, struct fm_ctx *ctx, const struct fm_value *data)
{
    const char *path = fm_value_string(fm_value_get(fm_ctx_config(ctx), "key"), NULL);
    const struct fm_value *v = path == NULL ? NULL : fm_value_get(data, path);
    *g = (struct collect){.ctx = ctx};
    switch (fm_value_kind(v)) {
    case FM_NULL:
        if (path == NULL)
            break;
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "there is no key at \"%.128s\" in the data", path);
    case FM_STRING:
        if (fm_value_size(v) > MAX_KEY_BYTES)
            return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT, "the key has %zu bytes; the limit is %d",
                               fm_value_size(v), MAX_KEY_BYTES);
        read_text_group(g, fm_value_string(v, ""));
        return 0;
    case FM_NUMBER:
        put_number(v, g->name, sizeof(g->name));
        break;
    case FM_BOOL:
        snprintf(g->name, sizeof(g->name), "%s", fm_value_bool(v, false) ? "true" : "false");
        break;
    case FM_LIST:
    case FM_MAP:
        return fm_ctx_fail(ctx, FM_FAIL_INVALID_ARGUMENT,
                           "the key at \"%.128s\" must be a string, a number, true or false", path);
    }
    read_group(g);
    return 0;
}

bool collect_of_timer(struct collect *g, struct fm_ctx *ctx, const struct fm_value *timer_data)
{
    *g = (struct collect){.ctx = ctx};
    snprintf(g->name, sizeof(g->name), "%s", fm_value_string(fm_value_get(timer_data, "group"), ""));
    read_group(g);
    return g->n > 0 && g->round == fm_value_number(fm_value_get(timer_data, "round"), 0);
}

void collect_add(struct collect *g, const struct fm_value *item, const char *slot, uint64_t ms)
{
    char key[COLLECT_KEY_BYTES];
    if (g->n == 0) {
        g->round = (double)fm_ctx_step(g->ctx);
        key_of(g, "t", key);
        if (ms > 0) {
            struct fm_value *timer = fm_map(g->ctx);
            fm_map_set(g->ctx, timer, "group", fm_string(g->ctx, g->name));
            fm_map_set(g->ctx, timer, "round", fm_number(g->ctx, g->round));
            fm_ctx_schedule(g->ctx, slot, timer, ms, key);
        }
    }
    g->n++;
    key_of(g, "i", key);
    fm_ctx_state_append(g->ctx, key, item);
    write_group(g);
}

const struct fm_value *collect_take(struct collect *g)
{
    char key[COLLECT_KEY_BYTES];
    key_of(g, "t", key);
    fm_ctx_unschedule(g->ctx, key);
    key_of(g, "g", key);
    fm_ctx_state_remove(g->ctx, key);
    key_of(g, "i", key);
    const struct fm_value *items = fm_ctx_state_get(g->ctx, key);
    fm_ctx_state_remove(g->ctx, key);
    g->n = 0;
    return items != NULL ? items : fm_list(g->ctx);
}
