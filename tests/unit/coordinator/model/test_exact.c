/* Large integers for clients and back: what they see, and what comes back unchanged. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exact.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "guard.h"
#include "json.h"
#include "json_text.h"
#include "mem.h"
#include "pbc.h"
#include "value.h"

static struct fm_arena arena;

static int setup(void **state)
{
    (void)state;
    fm_arena_init(&arena, 64u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_arena_done(&arena);
    return 0;
}

/* A Struct as Fermata has it inside; with malloc. */
static Google__Protobuf__Struct *inside(const char *text)
{
    struct fm_err err = {0};
    fm_auto(fm_buf) b = {0};
    char *json = json_text(text);
    const struct fm_value *v = json_value_read(json, strlen(json), &arena, &err);
    if (v == NULL || value_encode_struct(v, &b, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    free(json);
    Google__Protobuf__Struct *s = google__protobuf__struct__unpack(NULL, b.n, b.p);
    assert_non_null(s);
    return s;
}

static const char *json_of(const Google__Protobuf__Struct *s)
{
    static char text[4000];
    struct fm_err err = {0};
    fm_auto(fm_buf) b = {0}, json = {0};
    pb_pack(s, &b);
    const struct fm_value *v = value_decode_struct(fm_buf_bytes(&b), &arena, &err);
    if (v == NULL)
        fail_msg("%s", err.msg);
    json_value_write(v, &json);
    assert_true(json.n < sizeof(text));
    memcpy(text, json.p, json.n);
    text[json.n] = '\0';
    return text;
}

static void is_json(const Google__Protobuf__Struct *s, const char *want)
{
    char *json = json_text(want);
    assert_string_equal(json_of(s), json);
    free(json);
}

/* A reply with the data in it, as a client that knows only google.protobuf.Value reads it. */
static void is_shown(const char *data, const char *want)
{
    Fermata__V1__GetJobResponse r = FERMATA__V1__GET_JOB_RESPONSE__INIT;
    Fermata__V1__Job job = FERMATA__V1__JOB__INIT;
    Fermata__V1__JobState state = FERMATA__V1__JOB_STATE__INIT;
    fm_auto(fm_buf) b = {0}, shown = {0};
    job.state = &state;
    r.job = &job;
    char id[] = "the id";
    job.job_id = id;
    fm_auto_pb Google__Protobuf__Struct *s = state.shared_data = inside(data);
    (void)s; /* frees it */
    pb_pack(&r, &b);
    bool any = exact_show(wire_msg_of(r.base.descriptor), fm_buf_bytes(&b), &shown);
    struct fm_bytes bytes = any ? fm_buf_bytes(&shown) : fm_buf_bytes(&b);
    fm_auto_pb Fermata__V1__GetJobResponse *got =
        fermata__v1__get_job_response__unpack(NULL, bytes.n, bytes.p);
    assert_non_null(got);
    assert_string_equal(got->job->job_id, "the id");
    is_json(got->job->state->shared_data, want);
    assert_int_equal(any, strcmp(data, want) != 0);
    fm_auto(fm_buf)
        again = {0}; /* lengths are as short as they can be: whoever packs it again gets the same */
    pb_pack(got, &again);
    assert_true(fm_bytes_eq(fm_buf_bytes(&again), bytes));
}

static void clients_see_the_digits_of_large_integers(void **state)
{
    (void)state;
    is_shown("{'id':9007199254740993}", "{'id':'9007199254740993'}");
    is_shown("{'id':9007199254740992,'x':1.5,'y':-3}", "{'id':9007199254740992,'x':1.5,'y':-3}");
    is_shown("{'a':[{'b':[18446744073709551615,1]},-9223372036854775808],'s':'9007199254740993'}",
             "{'a':[{'b':['18446744073709551615',1]},'-9223372036854775808'],'s':'9007199254740993'}");
    is_shown("{'far':{'text':'"
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx','n':[1234567890123456789]}}",
             "{'far':{'text':'"
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx','n':['1234567890123456789']}}");
    is_shown("{'id':1000000000000000000}", "{'id':'1000000000000000000'}");
}

/* What a client that was shown `had` sends back as `sent` is `want`. */
static void becomes(const char *had, const char *sent, const char *want)
{
    fm_auto_pb Google__Protobuf__Struct *shown = inside(had);
    fm_auto_pb Google__Protobuf__Struct *s = inside(sent);
    exact_restore_struct(s, shown);
    is_json(s, want);
}

static void text_that_comes_back_unchanged_is_the_integer(void **state)
{
    (void)state;
    becomes("{'id':9007199254740993,'name':'a'}", "{'id':'9007199254740993','name':'b'}",
            "{'id':9007199254740993,'name':'b'}");
    becomes("{'id':'9007199254740993'}", "{'id':'9007199254740993'}", "{'id':'9007199254740993'}");
    becomes("{'id':9007199254740993}", "{'id':'9007199254740994'}", "{'id':'9007199254740994'}");
    becomes("{'id':9007199254740993}", "{'other':'9007199254740993'}", "{'other':'9007199254740993'}");
    becomes("{'id':5}", "{'id':'5'}", "{'id':'5'}");
    becomes("{'a':{'b':[{'c':-9223372036854775808}]}}", "{'a':{'b':[{'c':'-9223372036854775808'}]},'x':1}",
            "{'a':{'b':[{'c':-9223372036854775808}]},'x':1}");
    becomes("{'a':{'b':9007199254740993}}", "{'a':'9007199254740993'}", "{'a':'9007199254740993'}");
}

static void lists_may_become_shorter_and_longer(void **state)
{
    (void)state;
    becomes("{'l':[9007199254740993,9007199254740995,9007199254740997]}",
            "{'l':['9007199254740995','9007199254740997']}", "{'l':[9007199254740995,9007199254740997]}");
    becomes("{'l':[9007199254740993,9007199254740995]}", "{'l':['9007199254740993','x','9007199254740995']}",
            "{'l':[9007199254740993,'x',9007199254740995]}");
    becomes("{'l':[]}", "{'l':['9007199254740995']}", "{'l':['9007199254740995']}");
}

/* The guard's verdict on a Value of these bytes. */
static int verdict(const void *p, size_t n)
{
    fm_auto(fm_err) err = {0};
    const struct wire_limits limits = wire_limits_for(1000);
    return wire_check(wire_msg_of(&google__protobuf__value__descriptor), (struct fm_bytes){p, n}, &limits,
                      &err);
}

static void only_integers_that_belong_to_their_double_are_let_in(void **state)
{
    (void)state;
    fm_auto(fm_buf) good = {0}, bad = {0}, alone = {0}, twice = {0}, small = {0}, text = {0}, other = {0};
    fm_buf_put_double(&good, 2, 0x1p53);
    fm_buf_put_tag_varint(&good, 1001, 9007199254740993u);
    assert_int_equal(verdict(good.p, good.n), 0);
    fm_buf_put_double(&bad, 2, 7);
    fm_buf_put_tag_varint(&bad, 1001, 9007199254740993u);
    assert_int_equal(verdict(bad.p, bad.n), -FM_INVALID_ARGUMENT);
    fm_buf_put_tag_varint(&alone, 1001, 9007199254740993u);
    assert_int_equal(verdict(alone.p, alone.n), -FM_INVALID_ARGUMENT);
    fm_buf_append(&twice, good.p, good.n);
    fm_buf_put_tag_varint(&twice, 1001, 9007199254740993u);
    assert_int_equal(verdict(twice.p, twice.n), -FM_INVALID_ARGUMENT);
    fm_buf_put_double(&small, 2, 7);
    fm_buf_put_tag_varint(&small, 1001, 7);
    assert_int_equal(verdict(small.p, small.n), -FM_INVALID_ARGUMENT);
    fm_buf_put_string(&text, 3, "x");
    fm_buf_put_tag_varint(&text, 1001, 9007199254740993u);
    assert_int_equal(verdict(text.p, text.n), -FM_INVALID_ARGUMENT);
    fm_buf_put_double(&other, 2, 7);
    fm_buf_put_tag_varint(&other, 1002, 7);
    assert_int_equal(verdict(other.p, other.n), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clients_see_the_digits_of_large_integers),
        TEST(text_that_comes_back_unchanged_is_the_integer),
        TEST(lists_may_become_shorter_and_longer),
        TEST(only_integers_that_belong_to_their_double_are_let_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
