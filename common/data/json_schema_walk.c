/* Where a walk is, and what it sees. See json_schema_walk.h. */
#include "json_schema_walk.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "value.h"

#define MAX_KEY_SHOWN 128 /* bytes of a key in a path */
#define BYTES_PER_WORK 64 /* of texts that are compared */

bool schema_spend(struct check *c, size_t n)
{
    c->work.done += n;
    return schema_can_work(c);
}

static size_t most_work(const struct check *c)
{
    return c->work.most > 0 ? c->work.most : JSON_SCHEMA_WORK;
}

bool schema_can_work(const struct check *c)
{
    return !c->stopped && c->work.done <= most_work(c);
}

size_t schema_work_left(const struct check *c)
{
    return schema_can_work(c) ? most_work(c) - c->work.done : 0;
}

int schema_stop(struct check *c, const char *fmt, ...)
{
    char text[320];
    va_list ap;
    if (c->stopped)
        return -FM_RESOURCE_EXHAUSTED;
    c->stopped = true;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!c->collect)
        return fm_err_set(c->err, FM_RESOURCE_EXHAUSTED, "schema", "%s", text);
    c->n_faults++;
    (void)fm_err_add(c->err, FM_INVALID_ARGUMENT, c->path, "%s", text);
    return -FM_RESOURCE_EXHAUSTED;
}

/* ---- where we are ---- */

size_t schema_path_down(struct check *c, const char *fmt, ...)
{
    size_t was = c->path_n;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(c->path + was, sizeof(c->path) - was, fmt, ap);
    va_end(ap);
    if (n > 0)
        c->path_n = was + (size_t)n < sizeof(c->path) - 1 ? was + (size_t)n : sizeof(c->path) - 1;
    return was;
}

size_t schema_path_key(struct check *c, const char *key)
{
    size_t was = c->path_n, room = sizeof(c->path) - 1 - was, n = strnlen(key, MAX_KEY_SHOWN);
    if (room > 0 && was > 0) {
        c->path[c->path_n++] = '.';
        room--;
    }
    n = n < room ? n : room;
    memcpy(c->path + c->path_n, key, n);
    c->path_n += n;
    c->path[c->path_n] = '\0';
    return was;
}

void schema_path_back(struct check *c, size_t was)
{
    c->path_n = was;
    c->path[was] = '\0';
}

int schema_refuse(struct check *c, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (!c->collect)
        return fm_err_set(c->err, FM_INVALID_ARGUMENT, "schema", "%s: %s", c->path, text);
    c->n_faults++;
    (void)fm_err_add(c->err, FM_INVALID_ARGUMENT, c->path, "%s", text);
    return 0;
}

/* ---- values ---- */

/* Of a key that came twice the last one counts. SIZE_MAX: it is not there. */
static size_t place_of(struct check *c, const struct fm_value *map, const char *key)
{
    size_t n = fm_value_kind(map) == FM_MAP ? fm_value_size(map) : 0, similar = 0, i = n;
    while (i-- > 0) {
        const char *k = fm_value_key(map, i);
        if (k[0] != key[0])
            continue;
        similar++;
        if (strcmp(k, key) == 0)
            break;
    }
    (void)schema_spend(c, n / 8 + 1 + (similar > 1 ? similar * (strlen(key) / BYTES_PER_WORK + 1) : 0));
    return i;
}

const struct fm_value *schema_member(struct check *c, const struct fm_value *map, const char *key)
{
    size_t i = place_of(c, map, key);
    return i == SIZE_MAX ? NULL : fm_value_at(map, i);
}

bool schema_has_member(struct check *c, const struct fm_value *map, const char *key)
{
    return place_of(c, map, key) != SIZE_MAX;
}

bool schema_equal(struct check *c, const struct fm_value *a, const struct fm_value *b)
{
    if (!schema_spend(c, 1) || fm_value_kind(a) != fm_value_kind(b) || fm_value_size(a) != fm_value_size(b))
        return false;
    switch (fm_value_kind(a)) {
    case FM_NULL:
        return true;
    case FM_BOOL:
        return fm_value_bool(a, false) == fm_value_bool(b, false);
    case FM_NUMBER:
        return number_compare(value_as_number(a), value_as_number(b)) == 0;
    case FM_STRING:
        return schema_spend(c, fm_value_size(a) / BYTES_PER_WORK) &&
               strcmp(fm_value_string(a, ""), fm_value_string(b, "")) == 0;
    case FM_LIST:
        for (size_t i = 0; i < fm_value_size(a); i++)
            if (!schema_equal(c, fm_value_at(a, i), fm_value_at(b, i)))
                return false;
        return true;
    case FM_MAP:
        for (size_t i = 0; i < fm_value_size(a); i++)
            if (!schema_has_member(c, b, fm_value_key(a, i)) ||
                !schema_equal(c, fm_value_at(a, i), schema_member(c, b, fm_value_key(a, i))))
                return false;
        return true;
    }
    return false;
}
