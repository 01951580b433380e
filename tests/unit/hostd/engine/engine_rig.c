/* See engine_rig.h. */
#include "engine_rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fermata/v1/host_agent.pb-c.h"
#include "from_json.h"
#include "json.h"
#include "json_text.h"
#include "log.h"
#include "mem.h"
#include "registry.h"
#include "times.h"
#include "to_json.h"
#include "value.h"

#define MAX_TIMERS 200
#define MAX_TEXTS 4000

struct engine_rig rig;

static struct {
    struct registry *registry;
    json_t *messages, *steps;
    size_t taken, steps_taken;
    uint64_t seq, received;
    struct {
        uint64_t id;
        int64_t at;
    } timers[MAX_TIMERS];
    size_t n_timers;
    uint64_t call, evals[8];
    size_t n_evals;
    struct {
        uint64_t id;
        struct engine_work *work;
    } work[8];
    size_t n_work;
    char *texts[MAX_TEXTS];
    size_t n_texts;
} all;

static const char *keep(char *text)
{
    assert_non_null(text);
    assert_true(all.n_texts < MAX_TEXTS);
    all.texts[all.n_texts++] = text;
    return text;
}

/* ---- handlers that do as they are told ---- */

static const char *text_at(const struct fm_value *verb, size_t i)
{
    return fm_value_string(fm_value_at(verb, i), "");
}

static double number_of(const struct fm_value *verb, size_t i)
{
    return fm_value_number(fm_value_at(verb, i), 0);
}

static int run(struct fm_ctx *ctx, const struct fm_value *verbs, size_t from);

struct later {
    const struct fm_value *verbs;
    size_t from;
};

static int go_on(struct fm_ctx *ctx, void *arg)
{
    const struct later *l = arg;
    return run(ctx, l->verbs, l->from);
}

static int on_response(struct fm_ctx *ctx, void *arg, const struct fm_http_response *r)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "status", fm_number(ctx, r->status));
    fm_ctx_emit(ctx, "out", m);
    return go_on(ctx, arg);
}

static int on_chunk(struct fm_ctx *ctx, void *arg, const char *bytes, size_t n)
{
    (void)ctx;
    (void)arg;
    return n > 0 && bytes[0] == '!' ? -1 : 1;
}

static void ask(struct fm_ctx *ctx, const struct fm_value *verb)
{
    const struct fm_value *more = fm_value_at(verb, 3);
    struct fm_question q = {.question = text_at(verb, 1),
                            .slot = text_at(verb, 2),
                            .data = fm_value_get(more, "data"),
                            .choices = fm_value_get(more, "choices"),
                            .answer_schema = fm_value_get(more, "schema"),
                            .default_answer = fm_value_get(more, "default"),
                            .timeout_ms = fm_count_from(fm_value_number(fm_value_get(more, "timeout_ms"), 0)),
                            .budget = fm_value_bool(fm_value_get(more, "budget"), false)};
    (void)fm_ctx_ask(ctx, &q);
}

static void start_job(struct fm_ctx *ctx, const struct fm_value *verb)
{
    struct fm_child child = {.flow = text_at(verb, 1),
                             .flow_version = 2,
                             .routine = "x",
                             .slot = "y",
                             .data = fm_value_at(verb, 3),
                             .shared_data = fm_value_at(verb, 4),
                             .result_slot = text_at(verb, 2)};
    fm_ctx_start_job(ctx, &child);
}

/* What the handler sees of its task goes out with the event. */
static void show(struct fm_ctx *ctx)
{
    struct fm_value *m = fm_map(ctx);
    fm_map_set(ctx, m, "task", fm_string(ctx, fm_ctx_task_id(ctx)));
    fm_map_set(ctx, m, "slot", fm_string(ctx, fm_ctx_slot(ctx)));
    fm_map_set(ctx, m, "job", fm_string(ctx, fm_ctx_job_id(ctx)));
    fm_map_set(ctx, m, "routine", fm_string(ctx, fm_ctx_routine_id(ctx)));
    fm_map_set(ctx, m, "key", fm_string(ctx, fm_ctx_idempotency_key(ctx)));
    fm_map_set(ctx, m, "epoch", fm_number(ctx, fm_ctx_epoch(ctx)));
    fm_map_set(ctx, m, "attempt", fm_number(ctx, fm_ctx_attempt(ctx)));
    fm_map_set(ctx, m, "step", fm_number(ctx, fm_ctx_step(ctx)));
    fm_map_set(ctx, m, "now", fm_number(ctx, (double)fm_ctx_now_ms(ctx)));
    fm_map_set(ctx, m, "pause", fm_string(ctx, fm_ctx_pause_id(ctx)));
    fm_map_set(ctx, m, "call", fm_string(ctx, fm_ctx_call_id(ctx)));
    fm_map_set(ctx, m, "config", fm_ctx_config(ctx));
    fm_map_set(ctx, m, "state", fm_ctx_state_all(ctx));
    fm_map_set(ctx, m, "shared", fm_ctx_shared_all(ctx));
    const struct fm_value *k = fm_ctx_state_get(ctx, "k"), *s = fm_ctx_shared_get(ctx, "k");
    fm_map_set(ctx, m, "k", k == NULL ? fm_string(ctx, "none") : k);
    fm_map_set(ctx, m, "s", s == NULL ? fm_string(ctx, "none") : s);
    fm_ctx_emit(ctx, "out", m);
}

/* Asynchronous verbs; the rest is done when the call ends. False: it is none. */
static bool wait_for(struct fm_ctx *ctx, const struct fm_value *verb, const struct fm_value *verbs,
                     size_t next)
{
    const char *what = text_at(verb, 0);
    bool wait = strcmp(what, "wait") == 0, http = strcmp(what, "http") == 0;
    if (!wait && !http)
        return false;
    struct later *l = fm_ctx_alloc(ctx, sizeof(*l));
    l->verbs = fm_value_get(fm_ctx_data(ctx), "do");
    l->from = next;
    (void)verbs;
    if (wait) {
        fm_ctx_call_after(ctx, fm_count_from(number_of(verb, 1)), go_on, l);
    } else {
        const struct fm_http_request r = {.url = text_at(verb, 1)};
        fm_ctx_http(ctx, &r, on_chunk, on_response, l);
    }
    return true;
}

static int do_one(struct fm_ctx *ctx, const struct fm_value *verb)
{
    const char *what = text_at(verb, 0), *one = text_at(verb, 1);
    const struct fm_value *two = fm_value_at(verb, 2);
    if (strcmp(what, "emit") == 0)
        fm_ctx_emit(ctx, one, two);
    else if (strcmp(what, "emit_data") == 0)
        fm_ctx_emit(ctx, one, fm_ctx_data(ctx));
    else if (strcmp(what, "defer") == 0)
        fm_ctx_defer(ctx, one, two);
    else if (strcmp(what, "enqueue") == 0)
        fm_ctx_enqueue(ctx, one, two);
    else if (strcmp(what, "set") == 0)
        fm_ctx_state_set(ctx, one, two);
    else if (strcmp(what, "append") == 0)
        fm_ctx_state_append(ctx, one, two);
    else if (strcmp(what, "remove") == 0)
        fm_ctx_state_remove(ctx, one);
    else if (strcmp(what, "share") == 0)
        fm_ctx_shared_set(ctx, one, two);
    else if (strcmp(what, "share_more") == 0)
        fm_ctx_shared_append(ctx, one, two);
    else if (strcmp(what, "unshare") == 0)
        fm_ctx_shared_remove(ctx, one);
    else if (strcmp(what, "log") == 0)
        fm_ctx_log(ctx, one, two);
    else if (strcmp(what, "progress") == 0)
        fm_ctx_progress(ctx, one);
    else if (strcmp(what, "ask") == 0)
        ask(ctx, verb);
    else if (strcmp(what, "start") == 0)
        start_job(ctx, verb);
    else if (strcmp(what, "schedule") == 0) /* slot, data, ms, key or null */
        fm_ctx_schedule(ctx, one, two, fm_count_from(number_of(verb, 3)),
                        fm_value_string(fm_value_at(verb, 4), NULL));
    else if (strcmp(what, "unschedule") == 0)
        fm_ctx_unschedule(ctx, one);
    else if (strcmp(what, "usage") == 0)
        fm_ctx_usage(ctx, 1, 2, 3, 0.5);
    else if (strcmp(what, "show") == 0)
        show(ctx);
    else if (strcmp(what, "fail") == 0) /* code, text */
        return fm_ctx_fail(ctx, (enum fm_failure)(int)number_of(verb, 1), "%s", text_at(verb, 2));
    else if (strcmp(what, "fail_for_good") == 0)
        return (void)fm_ctx_fail(ctx, (enum fm_failure)(int)number_of(verb, 1), "%s", text_at(verb, 2)),
               fm_ctx_fail_permanent(ctx), -1;
    else if (strcmp(what, "fail_until") == 0) /* ms */
        return (void)fm_ctx_fail(ctx, FM_FAIL_UNAVAILABLE, "later"),
               fm_ctx_retry_after(ctx, fm_count_from(number_of(verb, 1))), -1;
    else if (strcmp(what, "return") == 0)
        return (int)number_of(verb, 1);
    else
        fail_msg("there is no verb %s", what);
    return 0;
}

static int run(struct fm_ctx *ctx, const struct fm_value *verbs, size_t from)
{
    for (size_t i = from; i < fm_value_size(verbs); i++) {
        const struct fm_value *verb = fm_value_at(verbs, i);
        if (wait_for(ctx, verb, verbs, i + 1))
            return 0;
        int rc = do_one(ctx, verb);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int rig_handle(struct fm_ctx *ctx, const struct fm_value *data)
{
    rig.runs++;
    const struct fm_value *items =
        fm_value_get(data, "items"); /* of a slot that appends: as the last one says */
    size_t n = fm_value_size(items);
    return run(ctx, fm_value_get(n > 0 ? fm_value_at(items, n - 1) : data, "do"), 0);
}

static const struct fm_slot slots[] = {
    {"in",   rig_handle},
    {"more", rig_handle},
    {"then", rig_handle}
};
static const char *const events[] = {"out", "other", "call", "error", "notice"};
static const uint32_t flags[] = {0, 0, FM_EVENT_CALL, 0, FM_EVENT_NOTICE};
#define TYPE(type, with)                                                                                     \
    {                                                                                                        \
        .abi = FM_ROUTINE_ABI, .name = type, .version = 1, .flags = with, .slots = slots, .n_slots = 3,      \
        .events = events, .n_events = 5, .event_flags = flags                                                \
    }
static const struct fm_routine_type types[] = {TYPE("t", 0), TYPE("effect", FM_EFFECTS),
                                               TYPE("block", FM_BLOCKING)};

/* ---- what the engine does ---- */

static void io_send(void *arg, struct fm_bytes b)
{
    (void)arg;
    Fermata__V1__HostMessage *m = fermata__v1__host_message__unpack(NULL, b.n, b.p);
    assert_non_null(m);
    json_t *j = to_json(&m->base);
    fermata__v1__host_message__free_unpacked(m, NULL);
    assert_int_equal(json_integer_value(json_object_get(j, "seq")), ++all.received);
    json_array_append_new(all.messages, j);
    json_t *batch = json_object_get(json_object_get(j, "steps"), "steps");
    for (size_t i = 0; i < json_array_size(batch); i++)
        json_array_append(all.steps, json_object_get(json_array_get(batch, i), "step"));
}

static void io_close(void *arg, const char *why)
{
    (void)arg;
    snprintf(rig.closed, sizeof(rig.closed), "%s", why);
}

static void io_start_timer(void *arg, uint64_t id, uint64_t ms)
{
    (void)arg;
    assert_true(all.n_timers < MAX_TIMERS);
    all.timers[all.n_timers].id = id;
    all.timers[all.n_timers++].at = rig.now + (int64_t)ms;
}

static void io_cancel_timer(void *arg, uint64_t id)
{
    (void)arg;
    for (size_t i = 0; i < all.n_timers; i++)
        if (all.timers[i].id == id)
            all.timers[i] = all.timers[--all.n_timers];
}

static void start_eval(uint64_t id, const struct eval_request *r)
{
    struct fm_arena arena;
    struct fm_err err = {0};
    fm_auto(fm_buf) json = {0};
    fm_arena_init(&arena, 1u << 20);
    json_value_write(value_decode_struct(r->data, &arena, &err), &json);
    fm_arena_done(&arena);
    rig.condition[0] = '\0';
    for (size_t i = 0; i < r->n; i++) {
        size_t at = strlen(rig.condition);
        snprintf(rig.condition + at, sizeof(rig.condition) - at, "%s%s", i > 0 ? "; " : "", r->programs[i]);
    }
    size_t at = strlen(rig.condition);
    snprintf(rig.condition + at, sizeof(rig.condition) - at, " of %.*s", (int)json.n, (const char *)json.p);
    assert_true(all.n_evals < 8);
    all.evals[all.n_evals++] = id;
}

size_t asking(void)
{
    return all.n_evals;
}

void conditions_are(size_t n, const char *last, const char *error)
{
    const char *outputs[8] = {"false", "false", "false", "false", "false", "false", "false", "false"};
    assert_true(all.n_evals > 0 && n <= 8);
    if (n > 0)
        outputs[n - 1] = last;
    const struct eval_result r = {
        .outputs = outputs, .n = n, .code = error[0] == '\0' ? FM_OK : FM_DEADLINE_EXCEEDED, .error = error};
    uint64_t id = all.evals[0];
    memmove(&all.evals[0], &all.evals[1], --all.n_evals * sizeof(all.evals[0]));
    engine_call_done(rig.e, id, &r, rig.now);
}

static void io_start_call(void *arg, uint64_t id, enum engine_call_kind kind, const void *request)
{
    (void)arg;
    if (kind == CALL_EVAL)
        start_eval(id, request);
    else
        all.call = id;
}

static void io_cancel_call(void *arg, uint64_t id, enum engine_call_kind kind)
{
    (void)arg;
    for (size_t i = 0; kind == CALL_EVAL && i < all.n_evals; i++)
        if (all.evals[i] == id)
            memmove(&all.evals[i], &all.evals[i + 1], (--all.n_evals - i) * sizeof(all.evals[0]));
    if (all.call == id)
        all.call = 0;
}

static void io_start_work(void *arg, uint64_t id, struct engine_work *work)
{
    (void)arg;
    assert_true(all.n_work < 8);
    all.work[all.n_work].id = id;
    all.work[all.n_work++].work = work;
}

static void io_attached(void *arg)
{
    (void)arg;
    rig.attached = true;
}

static void io_drained(void *arg)
{
    (void)arg;
    rig.drained = true;
}

/* ---- the coordinator ---- */

__attribute__((format(printf, 1, 0))) static const char *whole(const char *fmt, va_list ap)
{
    char *inner = json_vformat(fmt, ap), *text;
    assert_true(asprintf(&text, "{%s}", inner) > 0);
    free(inner);
    return keep(text);
}

void hears(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    json_t *j = json_parse(whole(fmt, ap));
    va_end(ap);
    all.seq++;
    if (json_object_get(j, "seq") == NULL)
        json_object_set_new(j, "seq", json_integer((json_int_t)all.seq));
    if (json_object_get(j, "ack") == NULL)
        json_object_set_new(j, "ack", json_integer((json_int_t)all.received));
    const ProtobufCMessage *m = from_json_value(&fermata__v1__coordinator_message__descriptor, j);
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = fm_xmalloc(n + 1);
    protobuf_c_message_pack(m, bytes);
    engine_message(rig.e, (struct fm_bytes){bytes, n}, rig.now);
    free(bytes);
    json_decref(j);
}

void rig_breaks(void)
{
    engine_disconnected(rig.e, rig.now);
}

json_t *rig_connects(void)
{
    all.seq = all.received = 0;
    engine_connected(rig.e, rig.now);
    return said_of("hello");
}

static void fire(size_t i)
{
    uint64_t id = all.timers[i].id;
    all.timers[i] = all.timers[--all.n_timers];
    engine_timer(rig.e, id, rig.now);
}

/* What is due first: a timer, or the engine's deadline (-1); the time of it. */
static int64_t first_due(int *ret_timer)
{
    int64_t at = engine_deadline(rig.e);
    *ret_timer = -1;
    for (size_t i = 0; i < all.n_timers; i++)
        if (at < 0 || all.timers[i].at <= at) {
            at = all.timers[i].at;
            *ret_timer = (int)i;
        }
    return at;
}

void rig_pass(int64_t ms, bool alive)
{
    int64_t end = rig.now + ms;
    for (;;) {
        int timer;
        size_t before = json_array_size(all.messages);
        int64_t at = first_due(&timer);
        if (at < 0 || at > end)
            break;
        if (at > rig.now)
            rig.now = at;
        if (timer >= 0)
            fire((size_t)timer);
        else
            engine_tick(rig.e, rig.now);
        if (timer < 0 && first_due(&timer) <= rig.now && timer < 0)
            rig.now++;
        for (; before < json_array_size(all.messages) && alive; before++)
            if (json_object_get(json_array_get(all.messages, before), "heartbeat") != NULL)
                hears("'heartbeat': {}");
    }
    if (rig.now < end)
        rig.now = end;
    engine_tick(rig.e, rig.now);
}

json_t *said(void)
{
    while (all.taken < json_array_size(all.messages)) {
        json_t *j = json_array_get(all.messages, all.taken++);
        if (json_object_get(j, "heartbeat") == NULL)
            return j;
    }
    return NULL;
}

json_t *said_of(const char *body)
{
    json_t *j;
    while ((j = said()) != NULL && json_object_get(j, body) == NULL) {
    }
    if (j == NULL)
        fail_msg("the engine did not say: %s", body);
    return json_object_get(j, body);
}

bool said_nothing(void)
{
    json_t *j = said();
    if (j != NULL)
        print_message("said: %s\n", keep(json_dumps(j, JSON_SORT_KEYS)));
    return j == NULL;
}

json_t *made(void)
{
    json_t *step = json_array_get(all.steps, all.steps_taken);
    all.steps_taken += step != NULL;
    return step;
}

json_t *made_step(unsigned number)
{
    json_t *s;
    while ((s = made()) != NULL && json_integer_value(json_object_get(s, "number")) != number) {
    }
    if (s == NULL)
        fail_msg("step %u was not made", number);
    return s;
}

void assign(unsigned epoch, const char *more, const char *data)
{
    char *list = fm_xstrdup(""), *text, *copy = fm_xstrdup(data), *rest = copy;
    unsigned n = 0;
    for (char *one; (one = strsep(&rest, "|")) != NULL && one[0] != '\0';) {
        n++;
        assert_true(
            asprintf(&text,
                     "%s%s{'task_id': 'i%u', 'routine': 'r', 'slot': 'in', 'input_number': %u, 'data': %s}",
                     list, n > 1 ? "," : "", n, n, one) > 0);
        free(list);
        list = text;
    }
    hears("'assign': {'job_id': '" JOB
          "', 'epoch': %u, 'state': {}, 'inputs': [%s], 'now': {'seconds': 1700000000}, "
          "'flow': {%s%s}}",
          epoch, list,
          strncmp(more, "'routines'", 10) == 0
              ? ""
              : "'routines': [{'id': 'r', 'type': 't', 'config': {'c': 1}}, {'id': 'e', 'type': 'effect'}], "
                "'connections': "
                "[{'from': {'routine': 'r', 'event': 'out'}, 'to': {'routine': 'e', 'slot': 'in'}}]",
          more);
    free(list);
    free(copy);
}

void acks(unsigned epoch, unsigned number)
{
    hears("'step_acks': {'acks': [{'job_id': '" JOB "', 'epoch': %u, 'number': %u}]}", epoch, number);
}

uint64_t calling(void)
{
    return all.call;
}

int call_brings(const char *bytes)
{
    return engine_call_data(rig.e, all.call, (struct fm_bytes){(const uint8_t *)bytes, strlen(bytes)},
                            rig.now);
}

void call_ends(int status)
{
    const struct fm_http_response r = {.status = status, .error = "", .headers = "", .body = ""};
    uint64_t id = all.call;
    all.call = 0;
    engine_call_done(rig.e, id, &r, rig.now);
}

bool rig_works(void)
{
    if (all.n_work == 0)
        return false;
    uint64_t id = all.work[0].id;
    struct engine_work *work = all.work[0].work;
    memmove(all.work, all.work + 1, --all.n_work * sizeof(all.work[0]));
    engine_work_run(work);
    engine_work_done(rig.e, id, work, rig.now);
    return true;
}

/* ---- a test ---- */

static void make_engine(void)
{
    static const struct engine_label labels[] = {
        {"zone", "z"}
    };
    const struct engine_config cfg = {.host_id = "h",
                                      .incarnation = "01H000000000000000000000A1",
                                      .version = "9",
                                      .labels = labels,
                                      .n_labels = 1,
                                      .capacity = 2,
                                      .registry = all.registry};
    const struct engine_io io = {.send = io_send,
                                 .close = io_close,
                                 .start_timer = io_start_timer,
                                 .cancel_timer = io_cancel_timer,
                                 .start_call = io_start_call,
                                 .cancel_call = io_cancel_call,
                                 .start_work = io_start_work,
                                 .attached = io_attached,
                                 .drained = io_drained};
    rig.e = engine_new(&cfg, &io);
}

int rig_setup(void **state)
{
    struct fm_err err = {0};
    (void)state;
    assert_int_equal(fm_log_set_levels("off", &err), 0);
    memset(&all, 0, sizeof(all));
    memset(&rig, 0, sizeof(rig));
    from_json_begin();
    all.messages = json_array();
    all.steps = json_array();
    all.registry = registry_new();
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        assert_int_equal(registry_add(all.registry, &types[i], &err), 0);
    rig.now = 1000;
    make_engine();
    (void)rig_connects();
    hears("'welcome': {'lease_ms': 10000, 'heartbeat_ms': 1000, 'max_step_bytes': 4000000, 'takes_drop': "
          "true}");
    assert_true(rig.attached);
    return 0;
}

int rig_teardown(void **state)
{
    (void)state;
    engine_free(rig.e);
    for (size_t i = 0; i < all.n_work; i++)
        engine_work_free(all.work[i].work);
    registry_free(all.registry);
    json_decref(all.messages);
    json_decref(all.steps);
    for (size_t i = 0; i < all.n_texts; i++)
        free(all.texts[i]);
    from_json_end();
    return 0;
}

/* ---- what tests look at ---- */

static json_t *find_at(json_t *j, const char *path)
{
    while (j != NULL && *path != '\0') {
        if (*path == '.')
            path++;
        if (*path == '[') {
            char *end;
            j = json_array_get(j, strtoul(path + 1, &end, 10));
            path = end + 1;
            continue;
        }
        char key[128];
        size_t n = strcspn(path, ".[");
        assert_true(n < sizeof(key));
        memcpy(key, path, n);
        key[n] = '\0';
        j = json_object_get(j, key);
        path += n;
    }
    return j;
}

const char *at(json_t *j, const char *path)
{
    json_t *v = find_at(j, path);
    if (v == NULL)
        return "";
    if (json_is_string(v))
        return json_string_value(v);
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(15));
    (void)keep(text);
    for (char *p = text; *p != '\0'; p++)
        if (*p == '"')
            *p = '\'';
    return text;
}

long long number_at(json_t *j, const char *path)
{
    return (long long)json_number_value(find_at(j, path));
}
