/* Random messages against Google's own JSON mapping (python3-protobuf), which cases.py asks: what it writes
 * is what we write, and what it wrote we read as the message that it was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "buf.h"
#include "descriptors.h"
#include "mem.h"
#include "pb_json.h"
#include "zoo.h"

static struct fm_bytes from_hex(const char *hex, struct fm_buf *out)
{
    for (; hex[0] != '\0' && hex[0] != '-'; hex += 2) {
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        uint8_t b = (uint8_t)byte;
        fm_buf_append(out, &b, 1);
    }
    return fm_buf_bytes(out);
}

static json_t *parsed(const char *text, size_t n)
{
    json_error_t fault;
    json_t *j = json_loadb(text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &fault);
    if (j == NULL)
        fail_msg("not JSON: %s in %.*s", fault.text, (int)n, text);
    return j;
}

/* Equal as values: 1 and 1.0 are. Floats have as many digits as each side likes. */
static bool same(json_t *a, json_t *b)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return !(x < y) && !(x > y) ? true : (float)x >= (float)y && (float)x <= (float)y;
    }
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        json_array_foreach(a, i, item) if (!same(item, json_array_get(b, i))) return false;
        return true;
    }
    if (json_is_object(a)) {
        if (json_object_size(a) != json_object_size(b))
            return false;
        json_object_foreach(a, key, item) if (json_object_get(b, key) == NULL ||
                                              !same(item, json_object_get(b, key))) return false;
        return true;
    }
    return json_equal(a, b) == 1;
}

static void check(const struct pb_pool *pool, const char *type, const char *hex, const char *want)
{
    fm_auto(fm_buf) wire = {0};
    fm_auto(fm_buf) json = {0};
    fm_auto(fm_buf) again = {0};
    fm_auto(fm_buf) back = {0};
    fm_auto(fm_err) err = {0};
    const struct pb_message *m = pb_pool_message(pool, type);
    assert_non_null(m);
    if (pb_json_write(pool, m, from_hex(hex, &wire), &json, &err) < 0)
        fail_msg("%s %s: %s: %s", type, hex, err.field, err.msg);
    json_t *ours = parsed((const char *)json.p, json.n), *theirs = parsed(want, strlen(want));
    if (!same(ours, theirs))
        fail_msg("%s\nours:   %.*s\ntheirs: %s", type, (int)json.n, (const char *)json.p, want);
    json_decref(theirs);
    if (pb_json_read(pool, m, want, strlen(want), false, &back, &err) < 0)
        fail_msg("%s is not read: %s: %s", want, err.field, err.msg);
    assert_int_equal(pb_json_write(pool, m, fm_buf_bytes(&back), &again, &err), 0);
    json_t *second =
        parsed((const char *)again.p, again.n); /* the keys of a Struct may come in another order */
    if (!same(ours, second))
        fail_msg("%s\nwritten: %.*s\nread:    %.*s", type, (int)json.n, (const char *)json.p, (int)again.n,
                 (const char *)again.p);
    json_decref(ours);
    json_decref(second);
}

/* The types of the project are in one set, those of the zoo in another. */
static void as_googles_own(void **state)
{
    (void)state;
    char command[2048], *sets = fm_xstrdup(getenv("PROTOSETS"));
    char *colon = strchr(sets, ':');
    assert_non_null(colon);
    *colon = '\0';
    struct fm_bytes both[2] = {
        {zoo_descriptor_set, zoo_descriptor_set_size},
        {fm_descriptor_set,  fm_descriptor_set_size },
    };
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof(command), "%s %s/tests/unit/common/data/pbjson/cases.py 7 %d %s",
                 getenv("PYTHON"), getenv("SOURCE_DIR"), i == 0 ? 1500 : 800, i == 0 ? sets : colon + 1);
        struct pb_pool *pool = pb_pool_new(both[i]);
        FILE *cases = popen(command, "r");
        assert_non_null(cases);
        char *line = NULL;
        size_t cap = 0;
        int n = 0;
        ssize_t got;
        while ((got = getline(&line, &cap, cases)) > 0) {
            char *hex, *json, *rest = line;
            line[got - 1] = '\0';
            const char *type = strtok_r(rest, " ", &rest);
            hex = strtok_r(NULL, " ", &rest);
            json = rest;
            assert_non_null(hex);
            check(pool, type, hex, json);
            n++;
        }
        free(line);
        assert_int_equal(pclose(cases), 0);
        assert_int_equal(n, i == 0 ? 1500 : 800);
        pb_pool_free(pool);
    }
    free(sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_googles_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
