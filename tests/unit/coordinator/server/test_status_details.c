/* What an error looks like in grpc-status-details-bin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server_fixture.h"

static Google__Rpc__Status *details_of(const struct fm_err *err)
{
    struct fm_buf b = {0};
    server_status_details(err, &b);
    assert_true(b.n <= 4000);
    Google__Rpc__Status *s = unpack_details(&b);
    fm_buf_done(&b);
    return s;
}

static void an_error_without_a_field_has_only_its_kind(void **state)
{
    (void)state;
    struct fm_err err = {0};
    fm_err_set(&err, FM_UNAVAILABLE, NULL, "the coordinator is stopping");
    Google__Rpc__Status *s = details_of(&err);
    assert_int_equal(s->code, 14);
    assert_string_equal(s->message, "the coordinator is stopping");
    assert_int_equal(s->n_details, 1);
    Google__Rpc__ErrorInfo *info = error_info_of(s);
    assert_string_equal(info->reason, "UNAVAILABLE");
    assert_string_equal(info->domain, "fermata.dev");
    assert_int_equal(info->n_metadata, 0);
    google__rpc__error_info__free_unpacked(info, NULL);
    google__rpc__status__free_unpacked(s, NULL);
}

static void an_error_of_a_field_names_it(void **state)
{
    (void)state;
    struct fm_err err = {0};
    fm_err_set(&err, FM_FAILED_PRECONDITION, "pause_id", "it is answered");
    Google__Rpc__Status *s = details_of(&err);
    Google__Rpc__BadRequest *bad = bad_request_of(s);
    assert_int_equal(s->n_details, 2);
    assert_int_equal(bad->n_field_violations, 1);
    assert_string_equal(bad->field_violations[0]->field, "pause_id");
    assert_string_equal(bad->field_violations[0]->description, "it is answered");
    google__rpc__bad_request__free_unpacked(bad, NULL);
    google__rpc__status__free_unpacked(s, NULL);
}

static void a_refusal_for_want_of_room_says_when_to_try_again(void **state)
{
    (void)state;
    struct fm_err err = {0};
    fm_err_set(&err, FM_RESOURCE_EXHAUSTED, NULL, "full");
    assert_int_equal(fm_err_retry(&err, 1500), -FM_RESOURCE_EXHAUSTED);
    Google__Rpc__Status *s = details_of(&err);
    assert_int_equal(s->n_details, 2);
    assert_string_equal(s->details[1]->type_url, "type.googleapis.com/google.rpc.RetryInfo");
    Google__Rpc__RetryInfo *retry =
        google__rpc__retry_info__unpack(NULL, s->details[1]->value.len, s->details[1]->value.data);
    assert_int_equal(retry->retry_delay->seconds, 1);
    assert_int_equal(retry->retry_delay->nanos, 500000000);
    google__rpc__retry_info__free_unpacked(retry, NULL);
    google__rpc__status__free_unpacked(s, NULL);
}

static void all_violations_are_listed_in_order(void **state)
{
    (void)state;
    struct fm_err err = {0};
    for (int i = 0; i < 20; i++) {
        char field[32];
        snprintf(field, sizeof(field), "flow.routines[%d]", i);
        fm_err_add(&err, FM_INVALID_ARGUMENT, field, "fault %d", i);
    }
    Google__Rpc__Status *s = details_of(&err);
    Google__Rpc__BadRequest *bad = bad_request_of(s);
    assert_int_equal(bad->n_field_violations, 20);
    assert_string_equal(bad->field_violations[0]->field, "flow.routines[0]");
    assert_string_equal(bad->field_violations[19]->description, "fault 19");
    google__rpc__bad_request__free_unpacked(bad, NULL);
    google__rpc__status__free_unpacked(s, NULL);
    fm_err_done(&err);
}

static void details_are_bounded_and_say_how_much_is_left_out(void **state)
{
    (void)state;
    struct fm_err err = {0};
    const size_t n = FM_MAX_VIOLATIONS + 36;
    char text[300];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < n; i++)
        fm_err_add(&err, FM_INVALID_ARGUMENT, "flow.connections", "%s", text);
    Google__Rpc__Status *s = details_of(&err);
    Google__Rpc__BadRequest *bad = bad_request_of(s);
    Google__Rpc__ErrorInfo *info = error_info_of(s);
    assert_true(bad->n_field_violations >= 1);
    assert_int_equal(info->n_metadata, 1);
    assert_string_equal(info->metadata[0]->key, "violations_left_out");
    assert_int_equal(strtoul(info->metadata[0]->value, NULL, 10) + bad->n_field_violations, n);
    google__rpc__bad_request__free_unpacked(bad, NULL);
    google__rpc__error_info__free_unpacked(info, NULL);
    google__rpc__status__free_unpacked(s, NULL);
    fm_err_done(&err);
}

static void the_longest_single_error_fits(void **state)
{
    (void)state;
    struct fm_err err = {0};
    char text[2000];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    fm_err_set(&err, FM_INVALID_ARGUMENT, text, "%s", text);
    Google__Rpc__Status *s = details_of(&err);
    Google__Rpc__BadRequest *bad = bad_request_of(s);
    assert_string_equal(bad->field_violations[0]->field, err.field);
    assert_string_equal(bad->field_violations[0]->description, err.msg);
    google__rpc__bad_request__free_unpacked(bad, NULL);
    google__rpc__status__free_unpacked(s, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_without_a_field_has_only_its_kind),
        cmocka_unit_test(an_error_of_a_field_names_it),
        cmocka_unit_test(a_refusal_for_want_of_room_says_when_to_try_again),
        cmocka_unit_test(all_violations_are_listed_in_order),
        cmocka_unit_test(details_are_bounded_and_say_how_much_is_left_out),
        cmocka_unit_test(the_longest_single_error_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
