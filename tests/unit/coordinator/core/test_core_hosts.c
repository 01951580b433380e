/* What hosts are told, and what is believed of them. */
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"

static void a_job_goes_to_a_host_and_ends(void **state)
{
    (void)state;
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" ");
    json_t *assign = told_of(a, "assign");
    assert_string_equal(at(assign, "job_id"), job);
    assert_int_equal(number_at(assign, "epoch"), 1);
    assert_string_equal(at(assign, "inputs[0].data"), "{'n':1.0}");
    assert_string_equal(status_of(job), "RUNNING");
    host_steps(a, job, 1, 1,
               ", 'task_id': '%s', 'routine': 'r', 'slot': 'in', 'inputs_through': 1, 'outcome': "
               "'STEP_OUTCOME_COMPLETE', 'attempt': 1",
               at(assign, "inputs[0].task_id"));
    json_t *ack = told_of(a, "step_acks");
    assert_int_equal(number_at(ack, "acks[0].number"), 1);
    assert_string_equal(at(ack, "acks[0].released"), "true");
    assert_string_equal(status_of(job), "COMPLETED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_goes_to_a_host_and_ends, rig_setup, rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
