/* The table of transitions and the fold of steps into a state. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "digest.h"
#include "fermata/v1/jobs.pb-c.h"
#include "job.h"
#include "mem.h"
#include "pause.h"
#include "pbc.h"

/* ---- transitions ---- */

static void every_status_can_be_reached_and_left_unless_final(void **state)
{
    (void)state;
    bool reached[JOB_STATUSES] = {false};
    reached[JOB_PENDING] = true;
    for (int from = 1; from < JOB_STATUSES; from++) {
        bool left = false;
        for (int ev = 0; ev < JOB_EVENTS; ev++) {
            int to = job_next_status(from, (enum job_event)ev);
            if (to == 0) {
                assert_null(job_transition_why(from, (enum job_event)ev));
                continue;
            }
            assert_non_null(job_transition_why(from, (enum job_event)ev));
            assert_true(to > 0 && to < JOB_STATUSES && to != from);
            reached[to] = left = true;
        }
        /* An operator may let a FAILED job go on; nothing else leads out of an end. */
        assert_int_equal(left, !job_status_final(from) || from == JOB_FAILED);
    }
    for (int s = 1; s < JOB_STATUSES; s++)
        assert_true(reached[s]);
}

static void every_pair_of_status_and_event_is_allowed_or_refused_by_name(void **state)
{
    (void)state;
    struct fm_id id = {{1}};
    for (int from = 1; from < JOB_STATUSES; from++) {
        for (int ev = 0; ev < JOB_EVENTS; ev++) {
            struct job *job = job_new(&id);
            Fermata__V1__Job h = FERMATA__V1__JOB__INIT;
            h.status = (Fermata__V1__JobStatus)from;
            job->head = pb_clone(&h);
            struct fm_err err = {0};
            int rc = job_move(job, (enum job_event)ev, 1000, &err);
            int to = job_next_status(from, (enum job_event)ev);
            assert_int_equal(rc, to == 0 ? -FM_FAILED_PRECONDITION : 0);
            assert_int_equal(job->head->status, to == 0 ? from : to);
            if (to == 0)
                assert_non_null(strstr(err.msg, job_status_name(from)));
            assert_int_equal(job->head->finished_at != NULL, to != 0 && job_status_final(to));
            job_free(job);
        }
    }
}

static void the_diagram_in_the_architecture_shows_the_table(void **state)
{
    (void)state;
    char path[512], line[256];
    snprintf(path, sizeof(path), "%s/ARCHITECTURE.md", getenv("SOURCE_DIR"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t shown = 0;
    while (fgets(line, sizeof(line), f) != NULL) {
        char from[32], to[32], event[32];
        if (sscanf(line, " %31[A-Z] --> %31[A-Z]: %31[a-z ]", from, to, event) != 3)
            continue;
        bool found = false;
        for (int s = 1; s < JOB_STATUSES && !found; s++)
            for (int ev = 0; ev < JOB_EVENTS && !found; ev++)
                found = strcmp(job_status_name(s), from) == 0 &&
                        strcmp(job_event_name((enum job_event)ev), event) == 0 &&
                        strcmp(job_status_name(job_next_status(s, (enum job_event)ev)), to) == 0;
        if (!found)
            fail_msg("not in the table: %s", line);
        shown++;
    }
    fclose(f);
    size_t rows = 0;
    for (int s = 1; s < JOB_STATUSES; s++)
        for (int ev = 0; ev < JOB_EVENTS; ev++)
            rows += job_next_status(s, (enum job_event)ev) != 0;
    assert_int_equal(shown, rows);
}

/* ---- the fold ---- */

static struct task_item *input(uint32_t number)
{
    char id[16], routine[] = "r", slot[] = "in";
    Fermata__V1__Task t = FERMATA__V1__TASK__INIT;
    snprintf(id, sizeof(id), "i%u", number);
    t.task_id = id;
    t.routine = routine;
    t.slot = slot;
    t.input_number = number;
    return task_item_new(&t);
}

struct fold {
    struct job_state *state;
    struct task_item *inputs;
    struct fm_err err;
};

static void fold_start(struct fold *f, uint32_t n_inputs)
{
    memset(f, 0, sizeof(*f));
    f->state = job_state_new();
    for (uint32_t i = n_inputs; i > 0; i--) {
        struct task_item *t = input(i);
        t->next = f->inputs;
        t->prev = t;
        if (f->inputs != NULL) {
            t->prev = f->inputs->prev;
            f->inputs->prev = t;
        }
        f->inputs = t;
    }
}

static void fold_done(struct fold *f)
{
    job_state_free(f->state);
    task_list_free(f->inputs);
    fm_err_done(&f->err);
}

static char R[] = "r", IN[] = "in", KEY[] = "k";

static Fermata__V1__Step step(uint32_t number, char *task, uint32_t inputs_through)
{
    Fermata__V1__Step s = FERMATA__V1__STEP__INIT;
    s.number = number;
    s.epoch = 1;
    s.task_id = task;
    s.routine = R;
    s.slot = IN;
    s.inputs_through = inputs_through;
    s.outcome = FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_CONTINUE;
    return s;
}

static int apply(struct fold *f, const Fermata__V1__Step *s)
{
    struct task_item *task = NULL;
    fm_err_done(&f->err);
    int rc = job_state_apply(f->state, &f->inputs, s, fermata__v1__step__get_packed_size(s),
                             (struct state_limit){1 << 20, 0}, &task, &f->err);
    free(task);
    return rc;
}

static Fermata__V1__JobState *decoded(const struct fold *f)
{
    struct fm_buf b = {0};
    job_state_encode(f->state, f->inputs, &b);
    Fermata__V1__JobState *s = fermata__v1__job_state__unpack(NULL, b.n, b.p);
    assert_non_null(s);
    /* What is written can be read, and is then written the same. */
    struct job_state *again;
    struct fm_err err = {0};
    struct fm_buf first = {0}, second = {0};
    job_state_encode(f->state, NULL, &first);
    assert_int_equal(job_state_decode((struct fm_bytes){first.p, first.n}, &again, &err), 0);
    job_state_encode(again, NULL, &second);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.p, second.p, first.n);
    job_state_free(again);
    fm_buf_done(&first);
    fm_buf_done(&second);
    fm_buf_done(&b);
    return s;
}

static void a_step_consumes_its_task_and_adds_what_it_carries(void **state)
{
    (void)state;
    struct fold f;
    fold_start(&f, 2);
    char i1[] = "i1", s10[] = "s1.0", out[] = "out";
    Fermata__V1__Step s = step(1, i1, 1);
    Fermata__V1__Task t = FERMATA__V1__TASK__INIT, *tasks[] = {&t};
    t.task_id = s10;
    t.routine = R;
    t.slot = IN;
    s.new_tasks = tasks;
    s.n_new_tasks = 1;
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    v.number_value = 7;
    Fermata__V1__StateChange set = FERMATA__V1__STATE_CHANGE__INIT, append = FERMATA__V1__STATE_CHANGE__INIT,
                             *changes[] = {&set, &append, &append};
    set.key = KEY;
    set.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_SET;
    set.value = &v;
    append.routine = R;
    append.key = KEY;
    append.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_APPEND;
    append.value = &v;
    s.changes = changes;
    s.n_changes = 3;
    Fermata__V1__Emission e = FERMATA__V1__EMISSION__INIT, *emissions[] = {&e};
    e.event = out;
    s.emissions = emissions;
    s.n_emissions = 1;
    assert_int_equal(apply(&f, &s), 0);
    Fermata__V1__JobState *j = decoded(&f);
    assert_int_equal(j->n_pending_tasks, 2);
    assert_string_equal(j->pending_tasks[0]->task_id, "s1.0");
    assert_string_equal(j->pending_tasks[1]->task_id, "i2");
    assert_string_equal(j->shared_data->fields[0]->key, "k");
    assert_int_equal(j->routine_states[0]->value->fields[0]->value->list_value->n_values, 2);
    assert_string_equal(j->outputs[0]->event, "out");
    assert_int_equal(j->step_number, 1);
    assert_int_equal(j->inputs_through, 1);
    fermata__v1__job_state__free_unpacked(j, NULL);
    fold_done(&f);
}

static void deferred_tasks_come_before_inputs_that_are_taken_with_them(void **state)
{
    (void)state;
    struct fold f;
    fold_start(&f, 2);
    char i1[] = "i1", d20[] = "d2.0", event[] = "question";
    Fermata__V1__Step s = step(1, i1, 1);
    Fermata__V1__DeferredEvent d = FERMATA__V1__DEFERRED_EVENT__INIT, *deferred[] = {&d};
    d.event = event;
    s.deferred_events = deferred;
    s.n_deferred_events = 1;
    assert_int_equal(apply(&f, &s), 0);
    Fermata__V1__Step s2 = step(2, d20, 2);
    Fermata__V1__Task t = FERMATA__V1__TASK__INIT, *tasks[] = {&t};
    t.task_id = d20;
    t.routine = R;
    t.slot = IN;
    s2.deferred_emitted = 1;
    s2.deferred_tasks = tasks;
    s2.n_deferred_tasks = 1;
    assert_int_equal(apply(&f, &s2), 0);
    Fermata__V1__JobState *j = decoded(&f);
    assert_int_equal(j->n_deferred_events, 0);
    assert_int_equal(j->n_pending_tasks, 1);
    assert_string_equal(j->pending_tasks[0]->task_id, "i2");
    fermata__v1__job_state__free_unpacked(j, NULL);
    fold_done(&f);
}

static void refused(struct fold *f, const Fermata__V1__Step *s, const char *field)
{
    struct fm_buf before = {0}, after = {0};
    job_state_encode(f->state, f->inputs, &before);
    assert_true(apply(f, s) < 0);
    assert_string_equal(f->err.field, field);
    job_state_encode(f->state, f->inputs, &after);
    assert_int_equal(before.n, after.n);
    assert_memory_equal(before.p, after.p, before.n);
    fm_buf_done(&before);
    fm_buf_done(&after);
}

static void a_step_that_breaks_a_rule_changes_nothing(void **state)
{
    (void)state;
    struct fold f;
    fold_start(&f, 2);
    char i1[] = "i1", i9[] = "i9", bad[] = "s9.9";
    Fermata__V1__Step s = step(2, i1, 1);
    refused(&f, &s, "step.number");
    s = step(1, i9, 1);
    refused(&f, &s, "step.task_id");
    s = step(1, i1, 3);
    refused(&f, &s, "step.inputs_through");
    s = step(1, i1, 1);
    s.deferred_emitted = 1;
    refused(&f, &s, "step.deferred_emitted");
    s = step(1, i1, 1);
    Fermata__V1__Output o = FERMATA__V1__OUTPUT__INIT, *outputs[] = {&o};
    s.deferred_outputs = outputs;
    s.n_deferred_outputs = 1;
    refused(&f, &s, "step.deferred_outputs");
    s = step(1, i1, 1);
    Fermata__V1__Task t = FERMATA__V1__TASK__INIT, *tasks[] = {&t};
    t.task_id = bad;
    t.routine = R;
    t.slot = IN;
    s.new_tasks = tasks;
    s.n_new_tasks = 1;
    refused(&f, &s, "step.new_tasks.task_id");
    s = step(1, i1, 1);
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    Fermata__V1__StateChange set = FERMATA__V1__STATE_CHANGE__INIT, append = FERMATA__V1__STATE_CHANGE__INIT,
                             *changes[] = {&set, &append};
    set.key = append.key = KEY;
    set.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_SET;
    append.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_APPEND;
    set.value = append.value = &v;
    s.changes = changes;
    s.n_changes = 2;
    refused(&f, &s, "step.changes.kind");
    append.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_DROP;
    append.count = 1;
    refused(&f, &s, "step.changes.kind");
    s.n_changes = 1; /* an attempt that is tried again keeps what its routine has used up, and nothing else */
    s.outcome = FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_RETRY;
    refused(&f, &s, "step.changes.routine");
    set.routine = R;
    assert_int_equal(apply(&f, &s), 0);
    s = step(2, i1, 1);
    assert_int_equal(apply(&f, &s), 0);
    refused(&f, &s, "step.number");
    fold_done(&f);
}

/* One step appends three elements, drops one, and then drops `count`. */
static int drop_after_two(struct fold *f, uint32_t number, char *task, uint32_t count)
{
    Fermata__V1__Step s = step(number, task, 1);
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    Fermata__V1__StateChange append = FERMATA__V1__STATE_CHANGE__INIT,
                             first = FERMATA__V1__STATE_CHANGE__INIT, last,
                             *changes[] = {&append, &append, &append, &first, &last};
    append.routine = first.routine = R;
    append.key = first.key = KEY;
    append.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_APPEND;
    append.value = &v;
    first.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_DROP;
    first.count = 1;
    last = first;
    last.count = count;
    s.changes = changes;
    s.n_changes = 5;
    return apply(f, &s);
}

static void elements_are_dropped_from_the_beginning_of_a_list_that_has_them(void **state)
{
    (void)state;
    struct fold f;
    fold_start(&f, 1);
    char i1[] = "i1";
    assert_int_equal(drop_after_two(&f, 1, i1, 3), -FM_INVALID_ARGUMENT);
    assert_string_equal(f.err.field, "step.changes.count");
    assert_int_equal(drop_after_two(&f, 1, i1, 0), -FM_INVALID_ARGUMENT);
    assert_int_equal(drop_after_two(&f, 1, i1, 1), 0);
    Fermata__V1__JobState *j = decoded(&f);
    assert_int_equal(j->routine_states[0]->value->fields[0]->value->list_value->n_values, 1);
    fermata__v1__job_state__free_unpacked(j, NULL);
    fold_done(&f);
}

static void a_state_that_would_be_too_large_is_refused_with_size_and_limit(void **state)
{
    (void)state;
    struct fold f;
    fold_start(&f, 1);
    char i1[] = "i1", *big = fm_xcalloc(1, (2 << 20) + 1);
    memset(big, 'x', 2 << 20);
    Fermata__V1__Step s = step(1, i1, 1);
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v.string_value = big;
    Fermata__V1__StateChange set = FERMATA__V1__STATE_CHANGE__INIT, *changes[] = {&set};
    set.key = KEY;
    set.kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_SET;
    set.value = &v;
    s.changes = changes;
    s.n_changes = 1;
    assert_int_equal(apply(&f, &s), -FM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(f.err.msg, "1048576"));
    free(big);
    fold_done(&f);
}

/* ---- canonical requests ---- */

static void the_order_of_a_map_does_not_change_a_requests_digest(void **state)
{
    (void)state;
    char a[] = "a", b[] = "b", one[] = "1";
    Fermata__V1__SubmitJobRequest__LabelsEntry x = FERMATA__V1__SUBMIT_JOB_REQUEST__LABELS_ENTRY__INIT, y = x,
                                               *xy[] = {&x, &y}, *yx[] = {&y, &x};
    x.key = a;
    y.key = b;
    x.value = y.value = one;
    Fermata__V1__SubmitJobRequest r = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT,
                                  q = FERMATA__V1__SUBMIT_JOB_REQUEST__INIT;
    r.n_labels = q.n_labels = 2;
    r.labels = xy;
    q.labels = yx;
    uint8_t d1[STORE_DIGEST_BYTES], d2[STORE_DIGEST_BYTES];
    core_request_digest(&r.base, d1);
    core_request_digest(&q.base, d2);
    assert_memory_equal(d1, d2, sizeof(d1));
    q.n_labels = 1;
    core_request_digest(&q.base, d2);
    assert_memory_not_equal(d1, d2, sizeof(d1));
}

/* What counts of a question stays the same while people claim it and it goes from one to the next: else
 * taking it off would leave a wrong sum behind. */
static void what_a_question_counts_for_does_not_change(void **state)
{
    (void)state;
    struct fm_id job_id = {{1}};
    struct job *job = job_new(&job_id);
    Fermata__V1__Job empty = FERMATA__V1__JOB__INIT;
    job->head = pb_clone(&empty);
    Fermata__V1__Pause p = FERMATA__V1__PAUSE__INIT;
    Fermata__V1__Escalation e = FERMATA__V1__ESCALATION__INIT, *list[] = {&e};
    Google__Protobuf__Timestamp at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    char id[] = "p1.0", to[] = "somebody with a long name", who[] = "ann", other[] = "for bob";
    at.seconds = 1;
    e.to = to;
    e.at = &at;
    p.pause_id = id;
    p.escalate = list;
    p.n_escalate = 1;
    job_add_pause(job, pb_clone(&p));
    Fermata__V1__Pause *open = job_find_pause(job, id);
    assert_true(pause_escalate(open, 2000));
    pb_set_string(&open->claimed_by, who);
    pb_set_string(&open->claimed_on_behalf_of, other);
    pb_set_time(&open->claim_expires_at, 5000);
    assert_true(job->pause_bytes > 0);
    job_remove_pause(job, id);
    assert_int_equal(job->pause_bytes, 0);
    job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_question_counts_for_does_not_change),
        cmocka_unit_test(every_status_can_be_reached_and_left_unless_final),
        cmocka_unit_test(every_pair_of_status_and_event_is_allowed_or_refused_by_name),
        cmocka_unit_test(the_diagram_in_the_architecture_shows_the_table),
        cmocka_unit_test(a_step_consumes_its_task_and_adds_what_it_carries),
        cmocka_unit_test(deferred_tasks_come_before_inputs_that_are_taken_with_them),
        cmocka_unit_test(a_step_that_breaks_a_rule_changes_nothing),
        cmocka_unit_test(elements_are_dropped_from_the_beginning_of_a_list_that_has_them),
        cmocka_unit_test(a_state_that_would_be_too_large_is_refused_with_size_and_limit),
        cmocka_unit_test(the_order_of_a_map_does_not_change_a_requests_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
