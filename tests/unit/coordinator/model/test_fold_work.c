/* The work of the fold is in proportion to the step, whatever waits already. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agreed.h"
#include "buf.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "host_step.h"
#include "job_state.h"
#include "linear.h"
#include "mem.h"

static Google__Protobuf__Timestamp now = {
    .base = PROTOBUF_C_MESSAGE_INIT(&google__protobuf__timestamp__descriptor), .seconds = 1000};

/* A step under construction, with texts of its own. */
struct made {
    Fermata__V1__Step step;
    char **texts;
    size_t n_texts;
};

static char *text(struct made *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static char *text(struct made *m, const char *fmt, ...)
{
    char b[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b, sizeof(b), fmt, ap);
    va_end(ap);
    m->texts = fm_xgrow(m->texts, m->n_texts, sizeof(*m->texts));
    return m->texts[m->n_texts++] = fm_xstrdup(b);
}

static void begin(struct made *m, unsigned number, const char *task)
{
    memset(m, 0, sizeof(*m));
    fermata__v1__step__init(&m->step);
    m->step.number = number;
    m->step.task_id = text(m, "%s", task);
    m->step.routine = text(m, "r");
    m->step.slot = text(m, "in");
    m->step.outcome = FERMATA__V1__STEP_OUTCOME__STEP_OUTCOME_CONTINUE;
    m->step.committed_at = &now;
}

/* Folds it in; returns how long that took. */
static long long apply(struct job_state *s, struct made *m)
{
    struct task_item *inputs = NULL, *task = NULL;
    struct fm_err err = {0};
    long long from = test_cpu_us();
    m->step.committed_at = NULL;
    if (host_step_check(&m->step, &err) < 0)
        fail_msg("%s: %s", err.field, err.msg);
    m->step.committed_at = &now;
    if (job_state_apply(s, &inputs, &m->step, 100, NO_STATE_LIMIT, &task, &err) < 0)
        fail_msg("%s: %s", err.field, err.msg);
    long long took = test_cpu_us() - from;
    free(task);
    for (size_t i = 0; i < m->n_texts; i++)
        free(m->texts[i]);
    free(m->texts);
    return took;
}

static Fermata__V1__Task *tasks;
static Fermata__V1__Task **task_pointers;

/* Gives the step n tasks s<number>.<i>, due later or at once. */
static void add_tasks(struct made *m, size_t n, uint64_t delay_ms)
{
    tasks = fm_xcalloc(n + 1, sizeof(*tasks));
    task_pointers = fm_xcalloc(n + 1, sizeof(*task_pointers));
    for (size_t i = 0; i < n; i++) {
        fermata__v1__task__init(&tasks[i]);
        tasks[i].task_id = text(m, "s%u.%zu", m->step.number, i);
        tasks[i].routine = m->step.routine;
        tasks[i].slot = m->step.slot;
        tasks[i].delay_ms = delay_ms;
        task_pointers[i] = &tasks[i];
    }
    m->step.n_new_tasks = n;
    m->step.new_tasks = task_pointers;
}

static void free_tasks(void)
{
    free(tasks);
    free(task_pointers);
}

/* A state in which task s1.<n> waits, behind n others. */
static struct job_state *state_with(size_t n, uint64_t delay_ms)
{
    struct job_state *s;
    struct made m;
    Fermata__V1__JobState first = FERMATA__V1__JOB_STATE__INIT;
    Fermata__V1__Task t = FERMATA__V1__TASK__INIT, *list[] = {&t};
    char id[] = "s0.0", routine[] = "r", slot[] = "in";
    t.task_id = id;
    t.routine = routine;
    t.slot = slot;
    first.n_pending_tasks = 1;
    first.pending_tasks = list;
    size_t size = fermata__v1__job_state__get_packed_size(&first);
    fm_autofree uint8_t *raw = fm_xmalloc(size);
    fermata__v1__job_state__pack(&first, raw);
    struct fm_err err = {0};
    assert_int_equal(job_state_decode((struct fm_bytes){raw, size}, &s, &err), 0);
    begin(&m, 1, "s0.0");
    add_tasks(&m, n + 1, delay_ms);
    tasks[n].delay_ms = 0;
    apply(s, &m);
    free_tasks();
    assert_int_equal(job_state_pending(s), n + 1);
    return s;
}

static void begin_second(struct made *m, size_t n)
{
    begin(m, 2, "");
    m->step.task_id = text(m, "s1.%zu", n);
}

enum keys { OWN_KEYS, ONE_KEY, OWN_ROUTINES };

static long long append(size_t n, void *arg)
{
    enum keys keys = *(enum keys *)arg;
    struct job_state *s = state_with(0, 0);
    struct made m;
    begin_second(&m, 0);
    Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT;
    value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    Fermata__V1__StateChange *changes = fm_xcalloc(n, sizeof(*changes)),
                             **pointers = fm_xcalloc(n, sizeof(*pointers));
    for (size_t i = 0; i < n; i++) {
        fermata__v1__state_change__init(&changes[i]);
        changes[i].key = text(&m, "k%zu", keys == ONE_KEY ? 0 : i);
        changes[i].kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_APPEND;
        changes[i].value = &value;
        if (keys == OWN_ROUTINES)
            changes[i].routine = changes[i].key;
        pointers[i] = &changes[i];
    }
    m.step.n_changes = n;
    m.step.changes = pointers;
    long long us = apply(s, &m);
    free(changes);
    free(pointers);
    job_state_free(s);
    return us;
}

static void appends(void **state)
{
    (void)state;
    enum keys keys = OWN_KEYS;
    test_linear("appends to distinct keys", append, 15000, &keys);
    keys = ONE_KEY;
    test_linear("appends to one key", append, 15000, &keys);
    keys = OWN_ROUTINES;
    test_linear("appends to distinct routines", append, 15000, &keys);
}

static long long unschedule(size_t n, void *arg)
{
    bool backwards = *(bool *)arg;
    struct job_state *s = state_with(n, 1000);
    struct made m;
    begin_second(&m, n);
    char **ids = fm_xcalloc(n, sizeof(*ids));
    for (size_t i = 0; i < n; i++)
        ids[i] = text(&m, "s1.%zu", backwards ? n - 1 - i : i);
    m.step.n_unscheduled = n;
    m.step.unscheduled = ids;
    long long us = apply(s, &m);
    assert_int_equal(job_state_pending(s), 0);
    free(ids);
    job_state_free(s);
    return us;
}

static void unschedules(void **state)
{
    (void)state;
    bool backwards = false;
    test_linear("dropped tasks", unschedule, 15000, &backwards);
    backwards = true;
    test_linear("dropped tasks, the last one first", unschedule, 15000, &backwards);
}

/* Many steps, each of which consumes the last of many tasks. */
static long long consume_last(size_t n, void *arg)
{
    (void)arg;
    struct job_state *s = state_with(n, 0);
    long long us = 0;
    for (size_t i = 0; i < n; i++) {
        struct made m;
        begin(&m, 2 + (unsigned)i, "");
        m.step.task_id = text(&m, "s1.%zu", n - i);
        us += apply(s, &m);
    }
    job_state_free(s);
    return us;
}

/* Many steps on a state of many routines. */
static long long step_over_routines(size_t n, void *arg)
{
    struct job_state *s = state_with(n, 0);
    (void)arg;
    struct made m;
    begin_second(&m, n);
    Google__Protobuf__Value value = GOOGLE__PROTOBUF__VALUE__INIT;
    value.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
    Fermata__V1__StateChange *changes = fm_xcalloc(n, sizeof(*changes)),
                             **pointers = fm_xcalloc(n, sizeof(*pointers));
    for (size_t i = 0; i < n; i++) {
        fermata__v1__state_change__init(&changes[i]);
        changes[i].routine = changes[i].key = text(&m, "k%zu", i);
        changes[i].kind = FERMATA__V1__STATE_CHANGE_KIND__STATE_CHANGE_KIND_SET;
        changes[i].value = &value;
        pointers[i] = &changes[i];
    }
    m.step.n_changes = n;
    m.step.changes = pointers;
    apply(s, &m);
    free(changes);
    free(pointers);
    long long us = 0;
    for (size_t i = 0; i < n; i++) {
        begin(&m, 3 + (unsigned)i, "");
        m.step.task_id = text(&m, "s1.%zu", i);
        us += apply(s, &m);
    }
    job_state_free(s);
    return us;
}

static void steps(void **state)
{
    (void)state;
    test_linear("steps that consume the last task", consume_last, 5000, NULL);
    test_linear("steps of a job with many routines", step_over_routines, 5000, NULL);
}

static void a_step_has_so_many_elements(void **state)
{
    (void)state;
    struct fm_err err = {0};
    Fermata__V1__Step step = FERMATA__V1__STEP__INIT;
    step.n_changes = FM_MAX_STEP_ITEMS + 1;
    assert_int_equal(host_step_check(&step, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "step.changes");
    assert_string_equal(err.msg, "step.changes has 150001 elements; the limit is 150000");
    step.n_changes = 0;
    step.n_pauses = FM_MAX_STEP_PAUSES + 1;
    assert_int_equal(host_step_check(&step, &err), -FM_INVALID_ARGUMENT);
    assert_string_equal(err.field, "step.pauses");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(unschedules),
        cmocka_unit_test(steps),
        cmocka_unit_test(a_step_has_so_many_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
