/* The encoder writes what protobuf-c writes, whatever the message is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "id.h"
#include "pbc.h"

#define ROUNDS 400
#define MAX_DEPTH 6

static struct fm_rng rng;
static struct fm_arena arena;

static void *zalloc(size_t n)
{
    void *p = fm_arena_zalloc(&arena, 1, n);
    assert_non_null(p);
    return p;
}

/* Often 0, often small, sometimes with all bits. */
static uint64_t some_number(void)
{
    uint64_t v = fm_rng_next(&rng), how = fm_rng_below(&rng, 4);
    return how == 0 ? 0 : v >> fm_rng_below(&rng, 64);
}

static char *some_text(size_t *ret_n)
{
    size_t n = fm_rng_below(&rng, 3) == 0 ? 0 : fm_rng_below(&rng, 300);
    char *s = zalloc(n + 1);
    for (size_t i = 0; i < n; i++)
        s[i] = (char)('a' + fm_rng_below(&rng, 26));
    *ret_n = n;
    return s;
}

static ProtobufCMessage *some_message(const ProtobufCMessageDescriptor *d, int depth);

static size_t fill_value(const ProtobufCFieldDescriptor *f, void *member, int depth)
{
    size_t n;
    uint64_t v = some_number();
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)member = some_text(&n);
        return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *data = member;
        data->data = (uint8_t *)some_text(&data->len);
        return sizeof(*data);
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)member = some_message(f->descriptor, depth + 1);
        return sizeof(ProtobufCMessage *);
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)member = (protobuf_c_boolean)(v & 1);
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(member, &v, 8);
        return 8;
    default:
        memcpy(member, &v, 4);
        return 4;
    }
}

static void fill_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, int depth)
{
    void *member = (char *)m + f->offset, *quantifier = (char *)m + f->quantifier_offset;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && depth >= MAX_DEPTH)
        return;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = fm_rng_below(&rng, 4), size = 0;
        char *items = zalloc(n * sizeof(ProtobufCBinaryData) + 1);
        for (size_t i = 0; i < n; i++)
            size = fill_value(f, items + i * size, depth);
        *(size_t *)quantifier = n;
        *(void **)member = items;
        return;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        if (fm_rng_below(&rng, 2) == 0)
            return; /* else the last one that is filled stands */
        *(uint32_t *)quantifier = f->id;
        (void)fill_value(f, member, depth);
        return;
    }
    if (fm_rng_below(&rng, 4) != 0)
        (void)fill_value(f, member, depth);
}

static ProtobufCMessage *some_message(const ProtobufCMessageDescriptor *d, int depth)
{
    ProtobufCMessage *m = zalloc(d->sizeof_message);
    protobuf_c_message_init(d, m);
    for (unsigned i = 0; i < d->n_fields; i++)
        fill_field(m, &d->fields[i], depth);
    if (fm_rng_below(&rng, 4) == 0) {
        size_t n;
        m->n_unknown_fields = 1;
        m->unknown_fields = zalloc(sizeof(*m->unknown_fields));
        m->unknown_fields[0].tag = 9999;
        m->unknown_fields[0].wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
        char *text = some_text(&n);
        text[0] = 0; /* its own length, then nothing */
        m->unknown_fields[0].data = (uint8_t *)text;
        m->unknown_fields[0].len = 1;
    }
    return m;
}

/* As many types as share nothing but their encoder: all that the coordinator sends or stores begins in one.
 */
static const ProtobufCMessageDescriptor *const types[] = {
    &fermata__v1__job__descriptor,
    &fermata__v1__step__descriptor,
    &fermata__v1__job_state__descriptor,
    &fermata__v1__flow__descriptor,
    &fermata__v1__coordinator_message__descriptor,
    &fermata__v1__host_message__descriptor,
    &fermata__v1__submit_job_request__descriptor,
    &fermata__v1__list_jobs_response__descriptor,
    &fermata__v1__host__descriptor,
    &fermata__v1__flow_summary__descriptor,
};

static void any_message_is_encoded_as_protobuf_c_does(void **state)
{
    size_t large = 0;
    (void)state;
    fm_rng_init(&rng, 1);
    fm_arena_init(&arena, SIZE_MAX / 4);
    for (size_t i = 0; i < ROUNDS * sizeof(types) / sizeof(types[0]); i++) {
        ProtobufCMessage *m = some_message(types[i / ROUNDS], (int)(i % MAX_DEPTH));
        size_t n = protobuf_c_message_get_packed_size(m);
        struct fm_buf b = {0};
        uint8_t *want = malloc(n + 1);
        assert_non_null(want);
        assert_int_equal(protobuf_c_message_pack(m, want), n);
        fm_buf_append(&b, "before", 6);
        pb_pack(m, &b);
        assert_int_equal(b.n, 6 + n);
        assert_memory_equal(b.p, "before", 6);
        assert_memory_equal(b.p + 6, want, n);
        large += n > 10000; /* more than the encoder has on the stack */
        free(want);
        fm_buf_done(&b);
        fm_arena_reset(&arena);
    }
    fm_arena_done(&arena);
    assert_true(large > 100);
}

static void numbers_of_every_size_are_encoded_as_protobuf_c_does(void **state)
{
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        for (int below = 0; below < 2; below++) {
            uint64_t v = ((uint64_t)1 << bit) - (uint64_t)below;
            Fermata__V1__Step s = FERMATA__V1__STEP__INIT;
            Google__Protobuf__Timestamp t = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
            t.seconds = (int64_t)v;
            t.nanos = (int32_t)(uint32_t)v;
            s.committed_at = &t;
            s.number = (uint32_t)v;
            uint8_t want[128];
            size_t n = fermata__v1__step__pack(&s, want);
            struct fm_buf b = {0};
            pb_pack(&s, &b);
            assert_int_equal(b.n, n);
            assert_memory_equal(b.p, want, n);
            fm_buf_done(&b);
        }
    }
}

static void an_empty_message_gives_no_bytes_but_a_place(void **state)
{
    Fermata__V1__Step s = FERMATA__V1__STEP__INIT;
    struct fm_buf b = {0};
    (void)state;
    pb_pack(&s, &b);
    assert_int_equal(b.n, 0);
    assert_non_null(b.p);
    fm_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_message_is_encoded_as_protobuf_c_does),
        cmocka_unit_test(numbers_of_every_size_are_encoded_as_protobuf_c_does),
        cmocka_unit_test(an_empty_message_gives_no_bytes_but_a_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
