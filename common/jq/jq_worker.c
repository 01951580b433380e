/* The worker that runs jq programs. See jq_eval.h. It has one thread, nothing of its parent but
 * a socket, and does not survive a program that goes beyond its limits: that is its purpose. */
#include "jq_context.h"
#include "jq_eval.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <jq.h>

#include "arena.h"
#include "jq_values.h"
#include "json.h"
#include "mem.h"

#define MAX_COMPILED 32
#define MAX_MESSAGE 400

/* A sanitizer needs its own address space: no limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct compiled {
    char *program;
    jq_state *jq;
    uint64_t used; /* when last, in evaluations */
};

static struct compiled cache[MAX_COMPILED];
static uint64_t evaluations;
static int64_t begun_us; /* processor time when the present one began */

/* ---- the socket ---- */

static bool read_all(void *p, size_t n)
{
    for (char *at = p; n > 0;) {
        ssize_t got = read(STDIN_FILENO, at, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_all(const void *p, size_t n)
{
    for (const char *at = p; n > 0;) {
        ssize_t put = write(STDIN_FILENO, at, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

/* Processor time of this process so far. */
static int64_t cpu_us(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) < 0 ? 0
                                                           : (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static bool reply(uint32_t code, uint32_t n, const void *p, size_t bytes)
{
    struct jq_reply r = {
        .code = code, .n = n, .bytes = (uint32_t)bytes, .cpu_us = (uint32_t)(cpu_us() - begun_us)};
    return write_all(&r, sizeof(r)) && write_all(p, bytes);
}

static bool reply_fault(enum fm_code code, const char *message)
{
    return reply((uint32_t)code, 0, message, strlen(message));
}

/* ---- limits ---- */

static void limit(int what, rlim_t to)
{
    struct rlimit r = {to, to};
    if (setrlimit(what, &r) < 0)
        _exit(3);
}

/* Counts the processor time from now on; at the end of it SIGPROF ends the process. 0: no end. */
static void limit_cpu(uint32_t ms)
{
    struct itimerval t = {
        .it_value = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000}
    };
    if (setitimer(ITIMER_PROF, &t, NULL) < 0)
        _exit(3);
}

/* ---- programs ---- */

static void on_error(void *arg, jv message)
{
    char *text = arg;
    size_t n = strlen(text);
    if (jv_get_kind(message) == JV_KIND_STRING)
        snprintf(text + n, MAX_MESSAGE - n, "%s%s", n > 0 ? "; " : "", jv_string_value(message));
    jv_free(message);
}

static jv no_input(jq_state *jq, void *arg)
{
    (void)jq;
    (void)arg;
    return jv_invalid_with_msg(jv_string("a program has no input but the data"));
}

/* What `debug` says is for nobody: the value goes on. */
static void no_debug(void *arg, jv message)
{
    (void)arg;
    jv_free(message);
}

/* Modules would be files of this host. They can only be named at the beginning of a program. */
static bool has_modules(const char *p)
{
    static const char *const words[] = {"import", "include", "module"};
    for (;;) {
        p += strspn(p, " \t\r\n");
        if (*p != '#')
            break;
        p += strcspn(p, "\n");
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t n = strlen(words[i]);
        if (strncmp(p, words[i], n) == 0 && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                   "0123456789_:",
                                                   p[n]) == NULL)
            return true;
    }
    return false;
}

/* The slot of the program, or the one that was used longest ago. */
static struct compiled *find_slot(const char *program)
{
    struct compiled *oldest = &cache[0];
    for (size_t i = 0; i < MAX_COMPILED; i++) {
        if (cache[i].program != NULL && strcmp(cache[i].program, program) == 0)
            return &cache[i];
        if (cache[i].used < oldest->used)
            oldest = &cache[i];
    }
    return oldest;
}

/* Compiles it; one that looks at what stands beside its data gets that from the list which is its input. On
 * the same line, so that faults are told with the program's own lines. */
static bool compile_text(jq_state *jq, const char *program)
{
    static const char before[] = ".[1] as $shared | .[2] as $state | .[0] | (";
    if (!jq_wants_context(program))
        return jq_compile(jq, program) != 0;
    size_t n = strlen(program) + sizeof(before) + 3;
    fm_autofree char *whole = fm_xcalloc(1, n);
    (void)snprintf(whole, n, "%s%s\n)", before, program);
    bool ok = jq_compile(jq, whole) != 0;
    return ok;
}

/* NULL with a message when it does not compile. */
static jq_state *compile(const char *program, char message[MAX_MESSAGE])
{
    struct compiled *c = find_slot(program);
    c->used = ++evaluations;
    if (c->program != NULL && strcmp(c->program, program) == 0)
        return c->jq;
    if (c->jq != NULL)
        jq_teardown(&c->jq);
    free(c->program);
    c->program = NULL;
    c->jq = jq_init();
    if (c->jq == NULL)
        _exit(3);
    jq_set_error_cb(c->jq, on_error, message);
    jq_set_input_cb(c->jq, no_input, NULL);
    jq_set_debug_cb(c->jq, no_debug, NULL);
    jq_set_attr(c->jq, jv_string("JQ_LIBRARY_PATH"), jv_array());
    if (has_modules(program)) {
        snprintf(message, MAX_MESSAGE, "programs cannot use modules");
        jq_teardown(&c->jq);
    } else if (!compile_text(c->jq, program)) {
        jq_teardown(&c->jq);
    } else {
        jq_set_error_cb(c->jq, NULL, NULL); /* the message's memory is the caller's */
        c->program = fm_xstrdup(program);
    }
    return c->jq;
}

/* What a run has put out, or how it ended. */
struct outcome {
    const struct jq_integers *all; /* of the input; may be NULL, … */
    enum jq_form form;             /* … and how they stood in it */
    enum fm_code code;
    uint32_t n;
    struct fm_buf out, second; /* outputs, or a message: with the nearest doubles, and as second_of says */
};

/* What else of a run is looked at than its outputs with the nearest doubles. */
static enum jq_as second_of(enum jq_form form)
{
    return form == JQ_STAND_IN ? JQ_AS_EXACT : JQ_AS_LOOSE;
}

static void outcome_done(struct outcome *o)
{
    fm_buf_done(&o->out);
    fm_buf_done(&o->second);
}

static void end_with(struct outcome *o, enum fm_code code, const char *message)
{
    o->code = code;
    fm_buf_reset(&o->out);
    fm_buf_reset(&o->second);
    jq_write_text(message, o->all, o->form, JQ_AS_NEAREST, &o->out);
    jq_write_text(message, o->all, o->form, second_of(o->form), &o->second);
}

/* The error that a program has raised. */
static void end_with_error(struct outcome *o, jv error)
{
    if (jv_get_kind(error) != JV_KIND_STRING)
        error = jv_dump_string(error, 0);
    end_with(o, FM_INVALID_ARGUMENT, jv_string_value(error));
    jv_free(error);
}

/* What halt_error says is an error like any other; halt is the end. */
static void look_at_halt(jq_state *jq, struct outcome *o)
{
    jv code = jq_get_exit_code(jq);
    bool fails = jq_halted(jq) && jv_is_valid(code);
    jv_free(code);
    if (!fails)
        return;
    jv message = jq_get_error_message(jq);
    if (!jv_is_valid(message) || jv_get_kind(message) == JV_KIND_NULL) {
        jv_free(message);
        message = jv_string("it has called halt_error");
    }
    end_with_error(o, message);
}

static bool put_output(struct outcome *o, jv v, enum jq_as as, struct fm_buf *out)
{
    bool ok = jq_write(v, o->all, o->form, as, out);
    fm_buf_append(out, "", 1);
    return ok;
}

static void put_outputs(struct outcome *o, jv v, const struct jq_request *r)
{
    char message[MAX_MESSAGE];
    bool ok = o->all == NULL || put_output(o, jv_copy(v), second_of(o->form), &o->second);
    if (!put_output(o, v, JQ_AS_NEAREST, &o->out) || !ok) {
        end_with(o, FM_INVALID_ARGUMENT, "an output is nested too deeply, or has a NUL character");
    } else if (++o->n > r->max_outputs || o->out.n > r->max_bytes) {
        (void)snprintf(message, sizeof(message), "it has more than %u outputs, or more than %u bytes of them",
                       r->max_outputs, r->max_bytes);
        end_with(o, FM_RESOURCE_EXHAUSTED, message);
    }
}

/* Runs a program to its end. */
static void run(jq_state *jq, jv input, const struct jq_request *r, struct outcome *o)
{
    jq_start(jq, input, 0);
    while (o->code == FM_OK) {
        jv v = jq_next(jq);
        if (jv_is_valid(v)) {
            put_outputs(o, v, r);
            continue;
        }
        if (jv_invalid_has_msg(jv_copy(v))) {
            end_with_error(o, jv_invalid_get_msg(v));
        } else {
            jv_free(v);
            look_at_halt(jq, o);
        }
        break;
    }
}

static bool reply_outcome(const struct outcome *o, struct fm_buf *out)
{
    if (o->code == FM_OK)
        return reply(FM_OK, o->n, out->p, out->n);
    fm_buf_append(out, "", 1);
    const char *message = (const char *)out->p;
    return reply((uint32_t)o->code, 0, message, fm_utf8_cut(message, MAX_MESSAGE));
}

static bool is_same_end(const struct outcome *a, const struct outcome *b)
{
    return a->code == b->code && a->n == b->n;
}

/* ---- integers that jq does not know ---- */

struct input {
    jq_state *jq;
    const struct jq_request *r;
    const struct fm_value *v;
    struct jq_integers all;
};

static void run_with(const struct input *in, enum jq_form form, struct outcome *o)
{
    o->all = &in->all;
    o->form = form;
    run(in->jq, jq_input(in->v, &in->all, form), in->r, o);
}

/* Whether the program does with tokens what it does with the nearest doubles. */
static bool takes_tokens(struct input *in, const struct outcome *nearest, bool in_json)
{
    fm_auto(outcome) tokens = {0};
    in->all.in_json = in_json;
    run_with(in, JQ_TOKEN, &tokens);
    return is_same_end(nearest, &tokens) &&
           fm_bytes_eq(fm_buf_bytes(&nearest->second), fm_buf_bytes(&tokens.second));
}

/* Whether the program does with the hidden integers what it does with the nearest doubles: then its outputs
 * are right with the integers themselves. They are in `ret`, from the run that keeps numbers numbers. */
static bool passes_on(struct input *in, const struct outcome *nearest, struct outcome *ret)
{
    if (!takes_tokens(in, nearest, false) && !takes_tokens(in, nearest, true))
        return false;
    run_with(in, JQ_STAND_IN, ret);
    return is_same_end(nearest, ret) && fm_bytes_eq(fm_buf_bytes(&nearest->out), fm_buf_bytes(&ret->out));
}

/* One that the program does more with, by halving; perhaps it takes two together: then one of them. */
static const struct jq_integer *find_touched(struct input *in, const struct outcome *nearest)
{
    size_t from = 0, n = in->all.n;
    int64_t begun = cpu_us(), most = (int64_t)in->r->cpu_ms * 1000 / 4;
    while (n > 1 && cpu_us() - begun < most) {
        fm_auto(outcome) o = {0};
        for (size_t i = 0; i < in->all.n; i++)
            in->all.items[i].hidden = i >= from && i < from + n / 2;
        if (passes_on(in, nearest, &o)) {
            from += n / 2;
            n -= n / 2;
        } else {
            n /= 2;
        }
    }
    return &in->all.items[from];
}

static bool run_exactly(struct input *in)
{
    fm_auto(outcome) nearest = {0};
    fm_auto(outcome) exact = {0};
    char message[MAX_MESSAGE], digits[NUMBER_TEXT_BYTES];
    run_with(in, JQ_NEAREST, &nearest);
    if (passes_on(in, &nearest, &exact))
        return reply_outcome(&exact, &exact.second);
    const struct jq_integer *i = find_touched(in, &nearest);
    (void)number_print(i->n, digits);
    (void)snprintf(
        message, sizeof(message),
        "it would change the integer %s at %s, for jq has no integers beyond 2^53: pass such integers "
        "as text (big_integers: \"text\"), or leave them as they are",
        digits, i->path[0] != '\0' ? i->path : ".");
    return reply_fault(FM_INVALID_ARGUMENT, message);
}

static bool run_in_form(const struct input *in, enum jq_form form)
{
    fm_auto(outcome) o = {0};
    run_with(in, form, &o);
    return reply_outcome(&o, &o.out);
}

/* A number that nobody can guess who has made data or program. */
static uint64_t new_secret(void)
{
    uint64_t secret;
    if (getentropy(&secret, sizeof(secret)) < 0)
        _exit(3);
    return secret;
}

/* Of a JSON text that may have such integers. */
static bool evaluate_big(jq_state *jq, const struct jq_request *r, const char *json)
{
    struct fm_arena arena;
    fm_auto(fm_err) err = {0};
    struct input in = {.jq = jq, .r = r};
    bool ok;
    fm_arena_init(&arena, JQ_MEMORY_BYTES / 2);
    in.v = json_value_read(json, r->json_bytes, &arena, &err);
    if (in.v == NULL)
        ok = reply_fault((enum fm_code)err.code, err.msg);
    else if (!jq_find_integers(in.v, &arena, new_secret(), &in.all))
        ok = reply_fault(FM_RESOURCE_EXHAUSTED, "the data has too many large integers");
    else if (r->big_integers == JQ_BIG_EXACT && in.all.n > 0)
        ok = run_exactly(&in);
    else
        ok = run_in_form(&in, r->big_integers == JQ_BIG_TEXT ? JQ_TEXT : JQ_NEAREST);
    fm_arena_done(&arena);
    return ok;
}

static bool evaluate(const struct jq_request *r, const char *program, const char *json)
{
    char message[MAX_MESSAGE] = "";
    jq_state *jq = compile(program, message);
    if (jq == NULL)
        return reply_fault(FM_INVALID_ARGUMENT, message[0] == '\0' ? "it does not compile" : message);
    if (r->compile_only != 0)
        return reply(FM_OK, 0, NULL, 0);
    if (jq_may_have_integers(json, r->json_bytes))
        return evaluate_big(jq, r, json);
    jv input = jv_parse_sized(json, (int)r->json_bytes);
    if (!jv_is_valid(input)) {
        jv_free(input);
        return reply_fault(FM_INVALID_ARGUMENT, "the data is nested too deeply for jq");
    }
    fm_auto(outcome) o = {0};
    run(jq, input, r, &o);
    return reply_outcome(&o, &o.out);
}

int jq_worker_main(void)
{
    struct jq_request r;
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    if (!SANITIZED) {
        limit(RLIMIT_AS, (rlim_t)JQ_MEMORY_BYTES);
        limit(RLIMIT_NOFILE, 3); /* no builtin can open a file: 0, 1 and 2 are taken */
    }
    while (read_all(&r, sizeof(r))) {
        if (r.program_bytes > JQ_MAX_PROGRAM_BYTES || r.json_bytes > INT_MAX)
            return 3;
        fm_autofree char *program = fm_xcalloc(1, (size_t)r.program_bytes + 1);
        fm_autofree char *json = fm_xcalloc(1, (size_t)r.json_bytes + 1);
        if (!read_all(program, r.program_bytes) || !read_all(json, r.json_bytes))
            return 3;
        begun_us = cpu_us();
        limit_cpu(r.cpu_ms);
        bool ok = evaluate(&r, program, json);
        limit_cpu(0);
        if (!ok)
            return 3;
    }
    return 0;
}
