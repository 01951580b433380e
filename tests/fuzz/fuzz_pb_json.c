/* Protobuf as JSON and back, over a message with everything. After a first byte that says which: bytes of a
 * message are shown, or JSON is read; what came of it is read and shown again, and then is the same. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pb_json.h"
#include "zoo.h"

static struct pb_pool *pool;

static int show(struct fm_bytes wire, struct fm_buf *json)
{
    struct fm_err err = {0};
    int rc = pb_json_write(pool, pb_pool_message(pool, "zoo.Animal"), wire, json, &err);
    if (rc < 0 && (err.msg[0] == '\0' || json->n != 0))
        abort();
    fm_err_done(&err);
    return rc;
}

static int read_json(const struct fm_buf *json, bool ignore_unknown, struct fm_buf *wire)
{
    struct fm_err err = {0};
    int rc = pb_json_read(pool, pb_pool_message(pool, "zoo.Animal"), (const char *)json->p, json->n,
                          ignore_unknown, wire, &err);
    if (rc < 0 && (err.msg[0] == '\0' || wire->n != 0))
        abort();
    fm_err_done(&err);
    return rc;
}

/* What was shown must be readable, and be shown like that again: from the second time on, for JSON has one
 * zero where protobuf has two. */
static void again(const struct fm_buf *json)
{
    struct fm_buf wire[2] = {{0}}, text[2] = {{0}};
    if (read_json(json, false, &wire[0]) < 0 || show(fm_buf_bytes(&wire[0]), &text[0]) < 0 ||
        read_json(&text[0], false, &wire[1]) < 0 || show(fm_buf_bytes(&wire[1]), &text[1]) < 0)
        abort();
    if (text[0].n != text[1].n || memcmp(text[0].p, text[1].p, text[0].n) != 0)
        abort();
    for (int i = 0; i < 2; i++) {
        fm_buf_done(&wire[i]);
        fm_buf_done(&text[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_buf given = {0}, made = {0}, laid = {0};
    if (pool == NULL)
        pool = pb_pool_new((struct fm_bytes){zoo_descriptor_set, zoo_descriptor_set_size});
    if (size == 0)
        return 0;
    fm_buf_append(&given, data + 1, size - 1);
    if (data[0] % 2 == 0) {
        if (show(fm_buf_bytes(&given), &made) == 0) {
            pb_json_indent((const char *)made.p, made.n, &laid);
            again(&laid);
        }
    } else if (read_json(&given, data[0] % 4 == 1, &laid) == 0 && show(fm_buf_bytes(&laid), &made) == 0) {
        again(&made);
    }
    fm_buf_done(&given);
    fm_buf_done(&made);
    fm_buf_done(&laid);
    return 0;
}
