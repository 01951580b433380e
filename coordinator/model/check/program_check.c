/* Checking jq programs and JSON Schemas. See program_check.h. */
#include "program_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_check.h"
#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "digest.h"
#include "err.h"
#include "google/protobuf/struct.pb-c.h"
#include "jq_eval.h"
#include "json.h"
#include "json_schema.h"
#include "mem.h"
#include "pbc.h"
#include "value.h"

#define JQ_CPU_MS 5000 /* of one program: no more than a host gives it by default */
#define CHECK_MS 10000 /* of all of a request */
#define SCHEMA_BYTES (32u * 1024 * 1024)

struct program_check *program_check_new(void)
{
    return fm_xcalloc(1, sizeof(struct program_check));
}

void program_check_free(struct program_check *k)
{
    if (k == NULL)
        return;
    for (size_t i = 0; i < k->n; i++)
        fm_buf_done(&k->programs[i].text);
    free(k->programs);
    fm_err_done(&k->err);
    free(k);
}

static struct program *add(struct program_check *k, const char *field, enum program_kind kind)
{
    k->programs = fm_xrealloc(k->programs, (k->n + 1) * sizeof(*k->programs));
    struct program *p = &k->programs[k->n++];
    *p = (struct program){.kind = kind};
    snprintf(p->field, sizeof(p->field), "%s", field);
    return p;
}

static void seal(struct program *p)
{
    fm_auto(fm_buf) all = {0};
    uint8_t kind = (uint8_t)((unsigned)p->kind | (p->is_json ? 0x80u : 0));
    fm_buf_append(&all, &kind, 1);
    fm_buf_append(&all, p->text.p, p->text.n);
    core_digest(fm_buf_bytes(&all), p->digest);
}

void program_check_add_jq(struct program_check *k, const char *field, const char *program)
{
    struct program *p = add(k, field, PROGRAM_JQ);
    fm_buf_append(&p->text, program, strlen(program) + 1);
    seal(p);
}

void program_check_add_schema(struct program_check *k, const char *field, enum program_kind kind,
                              const struct fm_value *schema)
{
    struct program *p = add(k, field, kind);
    fm_auto(fm_err) err = {0};
    p->is_json = fm_value_kind(schema) == FM_STRING;
    if (p->is_json)
        fm_buf_append(&p->text, fm_value_string(schema, ""), fm_value_size(schema));
    else if (value_encode_struct(schema, &p->text, &err) < 0) /* it was decoded: no deeper than it may be */
        fm_abort(err.msg);
    seal(p);
}

void program_check_add_answer(struct program_check *k, const Fermata__V1__Pause *pause,
                              const Google__Protobuf__Value *answer)
{
    struct program *p = add(k, "answer", PROGRAM_ANSWER);
    Fermata__V1__Pause both = FERMATA__V1__PAUSE__INIT;
    both.n_choices = pause->n_choices;
    both.choices = pause->choices;
    both.answer_schema = pause->answer_schema;
    both.choices_or_schema = pause->choices_or_schema;
    both.default_answer = (Google__Protobuf__Value *)(uintptr_t)answer;
    pb_pack(&both, &p->text);
    seal(p);
}

bool program_check_is_answer(const struct program_check *k)
{
    return k->n == 1 && k->programs[0].kind == PROGRAM_ANSWER;
}

bool program_check_same(const struct program_check *a, const struct program_check *b)
{
    return program_check_is_answer(a) && program_check_is_answer(b) &&
           memcmp(a->programs[0].digest, b->programs[0].digest, STORE_DIGEST_BYTES) == 0;
}

void program_check_drop(struct program_check *k, size_t i)
{
    fm_buf_done(&k->programs[i].text);
    memmove(&k->programs[i], &k->programs[i + 1], (--k->n - i) * sizeof(*k->programs));
}

/* ---- checking ---- */

/* Messages of jq's compiler have several lines. */
static void one_line(char *text)
{
    for (char *p = text; *p != '\0'; p++)
        if (*p == '\n')
            *p = ' ';
}

/* False: it could not be checked. */
static bool check_jq(struct program_check *k, struct program *p)
{
    fm_auto(fm_err) err = {0};
    int rc = jq_check((const char *)p->text.p, JQ_CPU_MS, &err);
    p->ok = rc == 0;
    if (rc == -FM_UNAVAILABLE) {
        snprintf(k->skipped, sizeof(k->skipped), "%.150s", err.msg);
    } else if (rc < 0) {
        one_line(err.msg);
        (void)fm_err_add(&k->err, FM_INVALID_ARGUMENT, p->field, "%s", err.msg);
    }
    return rc != -FM_UNAVAILABLE;
}

static void check_schema(struct program_check *k, struct program *p)
{
    struct fm_arena arena;
    fm_auto(fm_err) err = {0};
    fm_arena_init(&arena, SCHEMA_BYTES);
    const struct fm_value *schema =
        p->is_json ? json_value_read_unique((const char *)p->text.p, p->text.n, &arena, &err)
                   : value_decode_struct((struct fm_bytes){p->text.p, p->text.n}, &arena, &err);
    if (schema == NULL)
        (void)fm_err_add(&k->err, FM_INVALID_ARGUMENT, p->field, "%s", err.msg);
    else
        p->ok = json_schema_verify(schema, p->field,
                                   p->kind == PROGRAM_TOOL_SCHEMA ? JSON_SCHEMA_FOREIGN : JSON_SCHEMA_WHOLE,
                                   &k->err) == 0;
    fm_arena_done(&arena);
}

static void check_answer(struct program_check *k, struct program *p)
{
    fm_auto_pb Fermata__V1__Pause *both = fermata__v1__pause__unpack(NULL, p->text.n, p->text.p);
    if (both == NULL || both->default_answer == NULL)
        fm_abort("an answer that was packed cannot be unpacked");
    p->ok = answer_check(both, both->default_answer, &k->err) == 0;
}

static bool check(struct program_check *k, struct program *p)
{
    if (p->kind == PROGRAM_JQ)
        return check_jq(k, p);
    if (p->kind == PROGRAM_ANSWER)
        check_answer(k, p);
    else
        check_schema(k, p);
    return true;
}

void program_check_run(struct program_check *k, const atomic_bool *stop)
{
    int64_t until_ms = fm_now_mono_ms() + CHECK_MS;
    for (size_t i = 0; i < k->n; i++) {
        if (atomic_load(stop) || fm_now_mono_ms() >= until_ms) {
            snprintf(k->skipped, sizeof(k->skipped), "it would take longer than %d seconds", CHECK_MS / 1000);
            return;
        }
        if (!check(k, &k->programs[i]))
            return;
    }
}
