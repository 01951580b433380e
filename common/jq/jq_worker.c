/* The worker that runs jq programs. See jq_eval.h. It has one thread, nothing of its parent but
 * a socket, and does not survive a program that goes beyond its limits: that is its purpose. */
#include "jq_context.h"
#include "jq_eval.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <jq.h>

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

/* The error that a program has raised, as text. */
static void describe(jv error, char message[MAX_MESSAGE])
{
    if (jv_get_kind(error) != JV_KIND_STRING)
        error = jv_dump_string(error, 0);
    snprintf(message, MAX_MESSAGE, "%s", jv_string_value(error));
    jv_free(error);
}

/* Runs a program to its end and sends what it has put out. */
static bool run(jq_state *jq, jv input, const struct jq_request *r)
{
    char message[MAX_MESSAGE] = "";
    fm_auto(fm_buf) out = {0};
    uint32_t n = 0;
    enum fm_code code = FM_OK;
    jq_start(jq, input, 0);
    while (code == FM_OK) {
        jv v = jq_next(jq);
        if (!jv_is_valid(v)) {
            if (jv_invalid_has_msg(jv_copy(v))) {
                code = FM_INVALID_ARGUMENT;
                describe(jv_invalid_get_msg(v), message);
            } else {
                jv_free(v);
            }
            break;
        }
        jv text = jv_dump_string(v, 0);
        size_t bytes = (size_t)jv_string_length_bytes(jv_copy(text)) + 1;
        if (n == r->max_outputs || out.n + bytes > r->max_bytes) {
            code = FM_RESOURCE_EXHAUSTED;
            snprintf(message, sizeof(message), "it has more than %u outputs, or more than %u bytes of them",
                     r->max_outputs, r->max_bytes);
        } else {
            fm_buf_append(&out, jv_string_value(text), bytes);
            n++;
        }
        jv_free(text);
    }
    return code == FM_OK ? reply(FM_OK, n, out.p, out.n) : reply_fault(code, message);
}

static bool evaluate(const struct jq_request *r, const char *program, const char *json)
{
    char message[MAX_MESSAGE] = "";
    jq_state *jq = compile(program, message);
    if (jq == NULL)
        return reply_fault(FM_INVALID_ARGUMENT, message[0] == '\0' ? "it does not compile" : message);
    if (r->compile_only != 0)
        return reply(FM_OK, 0, NULL, 0);
    jv input = jv_parse_sized(json, (int)r->json_bytes);
    if (!jv_is_valid(input)) {
        jv_free(input);
        return reply_fault(FM_INVALID_ARGUMENT, "the data is nested too deeply for jq");
    }
    return run(jq, input, r);
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
