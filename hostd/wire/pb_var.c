/* The one nanopb callback, and decoding and encoding around it. See pb_var.h. */
#include "pb_var.h"

#include <string.h>

#include <pb_decode.h>
#include <pb_encode.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "mem.h"

/* What an input stream reads from. Substreams share it, so the position is one for all. */
struct source {
    const uint8_t *at;
    struct fm_arena *arena;
    bool full;
};

static bool read_bytes(pb_istream_t *in, pb_byte_t *out, size_t n)
{
    struct source *src = in->state;
    if (out != NULL)
        memcpy(out, src->at, n);
    src->at += n;
    return true;
}

/* One more view in a repeated field; the array doubles. */
static bool add_item(struct pb_var *v, struct fm_bytes item, struct source *src)
{
    if ((v->n & (v->n - 1)) == 0) {
        struct fm_bytes *items = fm_arena_alloc(src->arena, (v->n == 0 ? 1 : v->n * 2) * sizeof(*items));
        if (items == NULL) {
            src->full = true;
            return false;
        }
        if (v->n > 0)
            memcpy(items, v->items, v->n * sizeof(*items));
        v->items = items;
    }
    v->items[v->n++] = item;
    v->present = true;
    return true;
}

static bool decode_field(pb_istream_t *in, const pb_field_t *field)
{
    struct source *src = in->state;
    struct pb_var *v = field->pData;
    struct fm_bytes bytes = {src->at, in->bytes_left};
    src->at += in->bytes_left;
    in->bytes_left = 0;
    if (PB_HTYPE(field->type) == PB_HTYPE_REPEATED)
        return add_item(v, bytes, src);
    if (PB_HTYPE(field->type) == PB_HTYPE_ONEOF)
        *(pb_size_t *)field->pSize = field->tag;
    *v = (struct pb_var){.p = bytes.p, .n = bytes.n, .present = true};
    return true;
}

static bool encode_bytes(pb_ostream_t *out, const pb_field_t *field, struct fm_bytes b)
{
    static const uint8_t none;
    return pb_encode_tag(out, PB_WT_STRING, field->tag) &&
           pb_encode_string(out, b.p != NULL ? b.p : &none, b.n);
}

static bool encode_field(pb_ostream_t *out, const pb_field_t *field)
{
    const struct pb_var *v = field->pData;
    if (PB_HTYPE(field->type) == PB_HTYPE_REPEATED) {
        for (size_t i = 0; i < v->n; i++)
            if (!encode_bytes(out, field, v->items[i]))
                return false;
        return true;
    }
    bool submessage = PB_LTYPE_IS_SUBMSG(field->type);
    if (v->n == 0 && !(v->present && (submessage || PB_HTYPE(field->type) == PB_HTYPE_ONEOF)))
        return true;
    return encode_bytes(out, field, (struct fm_bytes){v->p, v->n});
}

bool pb_var_callback(pb_istream_t *in, pb_ostream_t *out, const pb_field_t *field)
{
    return in != NULL ? decode_field(in, field) : encode_field(out, field);
}

int pb_var_decode(const pb_msgdesc_t *desc, void *msg, struct fm_bytes in, struct fm_arena *arena,
                  struct fm_err *err)
{
    struct source src = {in.p, arena, false};
    pb_istream_t stream = {.callback = read_bytes, .state = &src, .bytes_left = in.n};
    if (pb_decode(&stream, desc, msg))
        return 0;
    if (src.full)
        return fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
                          "the message has too many elements for %zu bytes of memory", arena->limit);
    return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "malformed message: %s", PB_GET_ERROR(&stream));
}

static bool write_bytes(pb_ostream_t *out, const pb_byte_t *p, size_t n)
{
    fm_buf_append(out->state, p, n);
    return true;
}

int pb_var_encode(const pb_msgdesc_t *desc, const void *msg, struct fm_buf *out, struct fm_err *err)
{
    pb_ostream_t stream = {.callback = write_bytes, .state = out, .max_size = SIZE_MAX};
    if (pb_encode(&stream, desc, msg))
        return 0;
    return fm_err_set(err, FM_INTERNAL, NULL, "a message cannot be encoded: %s", PB_GET_ERROR(&stream));
}

void pb_var_pack(const pb_msgdesc_t *desc, const void *msg, struct fm_buf *out)
{
    struct fm_err err = {0};
    if (pb_var_encode(desc, msg, out, &err) < 0)
        fm_abort(err.msg);
}

struct pb_var pb_var_str(const char *s)
{
    return (struct pb_var){.p = (const uint8_t *)s, .n = s == NULL ? 0 : strlen(s)};
}

struct pb_var pb_var_bytes(const void *p, size_t n)
{
    return (struct pb_var){.p = p, .n = n, .present = true};
}

struct pb_var pb_var_list(struct fm_bytes *items, size_t n)
{
    return (struct pb_var){.items = items, .n = n, .present = n > 0};
}

char *pb_var_dup(struct pb_var v, struct fm_arena *arena)
{
    return fm_arena_strndup(arena, v.p, v.n);
}

bool pb_var_eq(struct pb_var v, const char *s)
{
    return v.n == strlen(s) && (v.n == 0 || memcmp(v.p, s, v.n) == 0);
}
