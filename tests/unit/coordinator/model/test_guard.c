/* The wire guard for protobuf-c: what it makes of descriptors, and that no bytes get past it that protobuf-c
 * should not see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fermata/v1/host_agent.pb-c.h"
#include "fermata/v1/jobs.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "guard.h"

#define VALUE &google__protobuf__value__descriptor
#define SUBMIT &fermata__v1__submit_job_request__descriptor

static struct fm_arena arena;

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 8u * 1024 * 1024);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_arena_done(&arena);
    return 0;
}

static int decode(const ProtobufCMessageDescriptor *d, const void *p, size_t n, ProtobufCMessage **ret,
                  struct fm_err *err)
{
    fm_arena_reset(&arena);
    return pbc_decode(d, (struct fm_bytes){p, n}, 1024 * 1024, &arena, ret, err);
}

static const struct wire_field *field_of(const struct wire_msg *m, uint32_t number)
{
    for (size_t i = 0; i < m->n_fields; i++)
        if (m->fields[i].number == number)
            return &m->fields[i];
    fail_msg("%s has no field %u", m->name, number);
    return NULL;
}

/* ---- descriptors ---- */

static void a_message_that_contains_itself_is_one_view(void **state)
{
    (void)state;
    const struct wire_msg *value = wire_msg_of(VALUE);
    const struct wire_field *list = field_of(value, 6);
    assert_string_equal(list->name, "list_value");
    assert_int_equal(list->kind, WIRE_MESSAGE);
    assert_ptr_equal(field_of(list->sub, 1)->sub, value);
    assert_true(field_of(list->sub, 1)->repeated);
    const struct wire_msg *entry = field_of(field_of(value, 5)->sub, 1)->sub;
    assert_ptr_equal(field_of(entry, 2)->sub, value);
    assert_ptr_equal(wire_msg_of(VALUE), value);
}

static void scalar_fields_have_the_kind_of_their_wire_type(void **state)
{
    (void)state;
    const struct wire_msg *value = wire_msg_of(VALUE);
    assert_int_equal(field_of(value, 1)->kind, WIRE_VARINT);
    assert_int_equal(field_of(value, 2)->kind, WIRE_DOUBLE);
    assert_int_equal(field_of(value, 3)->kind, WIRE_STRING);
    assert_int_equal(field_of(value, 4)->kind, WIRE_VARINT);
}

/* `seen` ends the walk where messages contain themselves. */
static void compare(const ProtobufCMessageDescriptor *d, const struct wire_msg *m, const void *seen[],
                    size_t *n_seen)
{
    for (size_t i = 0; i < *n_seen; i++)
        if (seen[i] == d)
            return;
    assert_true(*n_seen < 200);
    seen[(*n_seen)++] = d;
    assert_string_equal(m->name, d->name);
    assert_int_equal(m->n_fields, d->n_fields);
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct wire_field *f = &m->fields[i];
        const ProtobufCFieldDescriptor *want = protobuf_c_message_descriptor_get_field(d, f->number);
        assert_non_null(want);
        assert_true(i == 0 || f->number > m->fields[i - 1].number);
        assert_string_equal(f->name, want->name);
        assert_int_equal(f->repeated, want->label == PROTOBUF_C_LABEL_REPEATED);
        assert_int_equal(f->kind == WIRE_MESSAGE, want->type == PROTOBUF_C_TYPE_MESSAGE);
        assert_int_equal(f->kind == WIRE_STRING, want->type == PROTOBUF_C_TYPE_STRING);
        assert_int_equal(f->kind == WIRE_BYTES, want->type == PROTOBUF_C_TYPE_BYTES);
        if (f->kind == WIRE_MESSAGE)
            compare(want->descriptor, f->sub, seen, n_seen);
    }
}

static void every_field_of_the_protocol_has_a_row(void **state)
{
    (void)state;
    const void *seen[200];
    size_t n_seen = 0;
    compare(&fermata__v1__host_message__descriptor, wire_msg_of(&fermata__v1__host_message__descriptor), seen,
            &n_seen);
    compare(&fermata__v1__coordinator_message__descriptor,
            wire_msg_of(&fermata__v1__coordinator_message__descriptor), seen, &n_seen);
    compare(SUBMIT, wire_msg_of(SUBMIT), seen, &n_seen);
    assert_true(n_seen > 20);
}

/* ---- bytes ---- */

static size_t example(uint8_t *out)
{
    static char flow[] = "trip", key[] = "team", value[] = "x", routine[] = "agent", slot[] = "trigger",
                name[] = "task", text[] = "Plan a trip \xe2\x9c\x88";
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    Fermata__V1__SlotRef entry = FERMATA__V1__SLOT_REF__INIT;
    Fermata__V1__SubmitJobRequest__LabelsEntry label = FERMATA__V1__SUBMIT_JOB_REQUEST__LABELS_ENTRY__INIT,
                                               *labels[] = {&label};
    Google__Protobuf__Struct data = GOOGLE__PROTOBUF__STRUCT__INIT;
    Google__Protobuf__Struct__FieldsEntry field = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT,
                                          *fields[] = {&field};
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = text;
    field.key = name;
    field.value = &v;
    data.fields = fields;
    data.n_fields = 1;
    label.key = key;
    label.value = value;
    entry.routine = routine;
    entry.slot = slot;
    r.flow = flow;
    r.entry = &entry;
    r.data = &data;
    r.labels = labels;
    r.n_labels = 1;
    return fermata__v1__submit_job_request__pack(&r, out);
}

static void a_good_message_is_decoded_into_the_arena(void **state)
{
    (void)state;
    uint8_t bytes[512];
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    assert_int_equal(decode(SUBMIT, bytes, example(bytes), &m, &err), 0);
    const Fermata__V1__SubmitJobRequest *r = (const Fermata__V1__SubmitJobRequest *)(const void *)m;
    assert_string_equal(r->flow, "trip");
    assert_string_equal(r->entry->slot, "trigger");
    assert_string_equal(r->data->fields[0]->value->string_value, "Plan a trip \xe2\x9c\x88");
    assert_true(arena.used > 0);
    assert_int_equal(err.code, FM_OK);
}

static void no_bytes_are_an_empty_message(void **state)
{
    (void)state;
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    assert_int_equal(decode(SUBMIT, NULL, 0, &m, &err), 0);
    assert_string_equal(((const Fermata__V1__SubmitJobRequest *)(const void *)m)->flow, "");
}

static void an_unknown_field_is_let_pass(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0xfa, 0x3e, 3, 'n', 'e', 'w'}; /* field 1007 */
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    assert_int_equal(decode(SUBMIT, bytes, sizeof(bytes), &m, &err), 0);
}

static void a_fault_names_the_path_of_its_field(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x0a, 4, 0x0a, 2, 0xc3, 0x28}; /* fields { key: not UTF-8 } */
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    assert_int_equal(decode(&google__protobuf__struct__descriptor, bytes, sizeof(bytes), &m, &err),
                     -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "fields[0].key");
    assert_non_null(strstr(err.msg, "UTF-8"));
}

/* Six bytes that make field 1: protobuf-c takes five. */
static void an_overlong_tag_is_malformed_whoever_refuses_it(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x8a, 0x80, 0x80, 0x80, 0x80, 0x00, 1, 'x'};
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    assert_int_equal(decode(SUBMIT, bytes, sizeof(bytes), &m, &err), -FM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "malformed"));
}

static void a_message_cut_short_anywhere_is_refused_or_decoded(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t n = example(bytes);
    for (size_t cut = 0; cut < n; cut++) {
        struct fm_err err = {0};
        ProtobufCMessage *m = NULL;
        uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a read behind the end */
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        int rc = decode(SUBMIT, exact, cut, &m, &err);
        assert_true(rc == 0 ? m != NULL : rc == -FM_INVALID_ARGUMENT && err.msg[0] != '\0');
        free(exact);
    }
}

static void a_changed_bit_anywhere_is_refused_or_decoded(void **state)
{
    (void)state;
    uint8_t bytes[512];
    size_t n = example(bytes);
    for (size_t bit = 0; bit < n * 8; bit++) {
        struct fm_err err = {0};
        ProtobufCMessage *m = NULL;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = decode(SUBMIT, bytes, n, &m, &err);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_true(rc == 0 ? m != NULL : rc == -FM_INVALID_ARGUMENT && err.msg[0] != '\0');
    }
}

/* Wraps a Value into a list in a Value, from the inside. Returns the size; the message ends at the end of
 * `out`. */
static size_t nest(uint8_t *out, size_t size, int levels)
{
    size_t n = 0;
    for (int i = 0; i < levels; i++) {
        struct fm_buf head = {0};
        struct fm_buf inner = {0};
        fm_buf_put_len_header(&inner, 1, n);          /* ListValue.values */
        fm_buf_put_len_header(&head, 6, inner.n + n); /* Value.list_value */
        fm_buf_append(&head, inner.p, inner.n);
        n += head.n;
        assert_true(n <= size);
        memcpy(out + size - n, head.p, head.n);
        fm_buf_done(&head);
        fm_buf_done(&inner);
    }
    return n;
}

static void deep_nesting_is_refused_before_it_is_decoded(void **state)
{
    (void)state;
    static uint8_t bytes[600000];
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    size_t n = nest(bytes, sizeof(bytes), 49); /* two messages a level */
    assert_int_equal(decode(VALUE, bytes + sizeof(bytes) - n, n, &m, &err), 0);
    n = nest(bytes, sizeof(bytes), 50);
    assert_int_equal(decode(VALUE, bytes + sizeof(bytes) - n, n, &m, &err), -FM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "too deep"));
    n = nest(bytes, sizeof(bytes), 60000);
    assert_int_equal(decode(VALUE, bytes + sizeof(bytes) - n, n, &m, &err), -FM_INVALID_ARGUMENT);
    fm_err_done(&err);
}

static void a_submessage_that_occurs_twice_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    size_t n = example(bytes);
    n += example(bytes + n);
    assert_int_equal(decode(SUBMIT, bytes, n, &m, &err), -FM_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "twice"));
}

static void a_message_above_the_limit_is_refused_with_both_sizes(void **state)
{
    (void)state;
    uint8_t bytes[64] = {0};
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    assert_int_equal(pbc_decode(SUBMIT, (struct fm_bytes){bytes, 64}, 63, &arena, &m, &err),
                     -FM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.msg, "64"));
    assert_non_null(strstr(err.msg, "63"));
}

static void a_message_that_outgrows_the_arena_is_refused(void **state)
{
    (void)state;
    enum { N = 100000 };
    uint8_t *bytes = malloc(2 * N);
    struct fm_err err = {0};
    ProtobufCMessage *m = NULL;
    assert_non_null(bytes);
    for (size_t i = 0; i < N; i++) { /* empty Values of a list: 2 bytes that become about 60 */
        bytes[2 * i] = 0x0a;
        bytes[2 * i + 1] = 0;
    }
    struct fm_arena small;
    fm_arena_init(&small, 1024 * 1024);
    const struct fm_bytes all = {bytes, (size_t)2 * N};
    assert_int_equal(
        pbc_decode(&google__protobuf__list_value__descriptor, all, 1024 * 1024, &small, &m, &err),
        -FM_RESOURCE_EXHAUSTED);
    fm_arena_done(&small);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_contains_itself_is_one_view),
        cmocka_unit_test(scalar_fields_have_the_kind_of_their_wire_type),
        cmocka_unit_test(every_field_of_the_protocol_has_a_row),
        cmocka_unit_test(a_good_message_is_decoded_into_the_arena),
        cmocka_unit_test(no_bytes_are_an_empty_message),
        cmocka_unit_test(an_unknown_field_is_let_pass),
        cmocka_unit_test(a_fault_names_the_path_of_its_field),
        cmocka_unit_test(an_overlong_tag_is_malformed_whoever_refuses_it),
        cmocka_unit_test(a_message_cut_short_anywhere_is_refused_or_decoded),
        cmocka_unit_test(a_changed_bit_anywhere_is_refused_or_decoded),
        cmocka_unit_test(deep_nesting_is_refused_before_it_is_decoded),
        cmocka_unit_test(a_submessage_that_occurs_twice_is_refused),
        cmocka_unit_test(a_message_above_the_limit_is_refused_with_both_sizes),
        cmocka_unit_test(a_message_that_outgrows_the_arena_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
