/* The settings of questions. See question.h. */
#include "question.h"

#include <stdio.h>
#include <string.h>

#include "agreed.h"
#include "arena.h"
#include "buf.h"
#include "err.h"
#include "json.h"
#include "mem.h"
#include "rfc3339.h"
#include "rules_report.h"
#include "value.h"

#define SMALL_BYTES 65536

const char *const question_settings[] = {
    "timeout_ms", "deadline_at", "on_timeout", "default_answer", "choices", "answer_schema", "assignee",
    "escalate",   "key",         NULL};

struct settings {
    const char *before;
    const struct fm_value *m;
    enum question_kinds kinds;
    struct json_schema_work *work;
    const struct rules_report *report;
};

static const struct fm_value *of(const struct settings *s, const char *name)
{
    return rules_member(s->m, name);
}

static const char *path(const struct settings *s, const char *name, char out[RULES_PATH_BYTES])
{
    (void)snprintf(out, RULES_PATH_BYTES, "%s%s", s->before, name);
    return out;
}

#define FAULT(s, name, ...)                                                                                  \
    do {                                                                                                     \
        char at_[RULES_PATH_BYTES];                                                                          \
        rules_fault((s)->report, path(s, name, at_), __VA_ARGS__);                                           \
    } while (0)

int question_on_timeout(const char *name)
{
    static const char *const names[] = {"default", "event", "fail"};
    for (int i = 0; name != NULL && i < 3; i++)
        if (strcmp(names[i], name) == 0)
            return i + 1;
    return name == NULL ? 0 : -1;
}

bool question_deadline(const struct fm_value *v, double *ret_ms)
{
    *ret_ms = fm_value_number(v, 0) * 1000;
    return fm_value_kind(v) == FM_NUMBER ||
           (fm_value_kind(v) == FM_STRING && fm_time_read(fm_value_string(v, ""), ret_ms));
}

size_t question_escalations(const struct fm_value *escalate)
{
    return fm_value_kind(escalate) == FM_LIST ? fm_value_size(escalate) : fm_value_kind(escalate) == FM_MAP;
}

const struct fm_value *question_escalation(const struct fm_value *escalate, size_t i)
{
    return fm_value_kind(escalate) == FM_LIST ? fm_value_at(escalate, i) : escalate;
}

/* ---- kinds of values ---- */

/* Whether the value is of this kind; if not, that is said, unless somebody else does. */
static bool is_kind(const struct settings *s, const struct fm_value *v, enum fm_value_kind kind)
{
    return fm_value_kind(v) == kind || s->kinds == QUESTION_KINDS_UNKNOWN;
}

static bool is_ms(const struct fm_value *v)
{
    double n = fm_value_number(v, 0);
    return n >= 1 && n <= (double)FM_MAX_AHEAD_MS && n == (double)(uint64_t)n;
}

static void check_text(const struct settings *s, const char *name)
{
    const struct fm_value *v = of(s, name);
    size_t n = strlen(fm_value_string(v, ""));
    if (v != NULL && is_kind(s, v, FM_STRING) &&
        (fm_value_kind(v) != FM_STRING || n == 0 || n > FM_MAX_KEY_BYTES))
        FAULT(s, name, "must be a text of 1 to %d bytes", FM_MAX_KEY_BYTES);
}

static bool is_short_text(const struct fm_value *v)
{
    const char *text = fm_value_string(v, "");
    return text[0] != '\0' && strlen(text) <= FM_MAX_KEY_BYTES;
}

static void check_escalate(const struct settings *s)
{
    const struct fm_value *all = of(s, "escalate");
    size_t n = question_escalations(all);
    double last = 0;
    if (all != NULL && fm_value_kind(all) != FM_LIST && !is_kind(s, all, FM_MAP))
        return;
    if (all != NULL && (n == 0 || n > FM_MAX_ESCALATIONS))
        FAULT(s, "escalate", "must be {\"after_ms\", \"to\"}, or a list of 1 to %d of them",
              FM_MAX_ESCALATIONS);
    for (size_t i = 0; i < n && n <= FM_MAX_ESCALATIONS; i++) {
        const struct fm_value *e = question_escalation(all, i);
        char name[40] = "escalate";
        if (fm_value_kind(all) == FM_LIST)
            (void)snprintf(name, sizeof(name), "escalate[%zu]", i);
        if (fm_value_kind(e) != FM_MAP || fm_value_size(e) != 2 || !is_ms(rules_member(e, "after_ms")) ||
            !is_short_text(rules_member(e, "to"))) {
            FAULT(
                s, name,
                "must have \"after_ms\", a whole number from 1 to %llu, and \"to\", a text of 1 to %d bytes, "
                "and nothing else",
                FM_MAX_AHEAD_MS, FM_MAX_KEY_BYTES);
            return;
        }
        double ms = fm_value_number(rules_member(e, "after_ms"), 0);
        if (ms <= last)
            FAULT(s, name, "comes after %.0f ms, which is no later than the one before it", ms);
        last = ms;
    }
}

/* ---- what belongs together ---- */

static void check_times(const struct settings *s)
{
    const struct fm_value *timeout = of(s, "timeout_ms"), *deadline = of(s, "deadline_at"),
                          *on_timeout = of(s, "on_timeout");
    double ms;
    int what = question_on_timeout(on_timeout == NULL ? NULL : fm_value_string(on_timeout, ""));
    double n = fm_value_number(timeout, -1);
    bool in_range = n >= 0 && n <= (double)FM_MAX_AHEAD_MS;
    if (timeout != NULL && !is_ms(timeout) && n != 0 && (in_range || s->kinds == QUESTION_KINDS_UNKNOWN))
        FAULT(s, "timeout_ms", "must be a whole number of milliseconds from 1 to %llu, or 0 for never",
              FM_MAX_AHEAD_MS);
    if (deadline != NULL && !question_deadline(deadline, &ms) && is_kind(s, deadline, FM_STRING))
        FAULT(s, "deadline_at", "must be a time: RFC 3339 text with an offset, or seconds since 1970");
    bool ends = deadline != NULL || fm_value_number(timeout, 0) > 0;
    if (deadline != NULL && fm_value_number(timeout, 0) > 0)
        FAULT(s, "deadline_at", "is given beside timeout_ms: keep one of them");
    if (what < 0 && s->kinds == QUESTION_KINDS_UNKNOWN)
        FAULT(s, "on_timeout", "must be \"default\", \"event\" or \"fail\"");
    else if (what > 0 && !ends && rules_member(s->m, "deadline_path") == NULL)
        FAULT(s, "on_timeout", "is for a question with timeout_ms or deadline_at");
    if (what > 1 && of(s, "default_answer") != NULL)
        FAULT(s, "default_answer", "is given only with on_timeout \"default\"");
}

static bool has_choice(const struct fm_value *choices, const struct fm_value *answer,
                       struct json_schema_work *work)
{
    for (size_t i = 0; i < fm_value_size(choices); i++) {
        const char *choice = fm_value_string(fm_value_at(choices, i), "");
        if (fm_value_kind(answer) == FM_STRING) {
            if (strcmp(choice, fm_value_string(answer, "")) == 0)
                return true;
            continue;
        }
        struct fm_arena a;
        fm_auto(fm_err) err = {0};
        fm_arena_init(&a, SMALL_BYTES);
        struct fm_value *v = json_value_read(choice, strlen(choice), &a, &err), *same = value_map(&a);
        bool is = v != NULL && same != NULL && value_map_set(&a, same, "const", v) == 0 &&
                  json_schema_check_within(same, answer, work, NULL, NULL, &err) == 0;
        fm_arena_done(&a);
        if (is)
            return true;
    }
    return false;
}

struct first_fault {
    char text[200];
};

static void on_fault(void *arg, const struct json_schema_fault *f)
{
    struct first_fault *first = arg;
    if (first->text[0] != '\0')
        return;
    (void)snprintf(first->text, sizeof(first->text), "%s%s%s", f->path, f->path[0] != '\0' ? " " : "",
                   f->message);
    first->text[fm_utf8_cut(first->text, sizeof(first->text) - 1)] = '\0';
}

static void check_default(const struct settings *s)
{
    const struct fm_value *answer = of(s, "default_answer"), *choices = of(s, "choices"),
                          *schema = of(s, "answer_schema");
    bool either = fm_value_bool(rules_member(s->m, "choices_or_schema"), false);
    struct json_schema_work work = {.most = JSON_SCHEMA_BRIEF_WORK, .no_patterns = s->work->no_patterns};
    struct first_fault fault = {""};
    fm_auto(fm_err) err = {0};
    if (answer == NULL)
        return;
    bool chosen = fm_value_size(choices) > 0 && has_choice(choices, answer, &work);
    if (fm_value_size(choices) > 0 && !chosen && !either)
        FAULT(s, "default_answer", "is none of the choices");
    if (schema != NULL && !(either && chosen) &&
        json_schema_check_within(schema, answer, &work, on_fault, &fault, &err) > 0)
        FAULT(s, "default_answer", "does not meet answer_schema: %s", fault.text);
    s->work->done += work.done;
}

static void check_choices(const struct settings *s)
{
    const struct fm_value *choices = of(s, "choices");
    bool ok = choices == NULL || fm_value_kind(choices) == FM_LIST;
    for (size_t i = 0; ok && i < fm_value_size(choices); i++)
        ok = fm_value_kind(fm_value_at(choices, i)) == FM_STRING;
    if (!ok && s->kinds == QUESTION_KINDS_UNKNOWN)
        FAULT(s, "choices", "must be a list of texts");
    const struct fm_value *schema = of(s, "answer_schema");
    bool is_schema = schema == NULL || fm_value_kind(schema) == FM_MAP;
    if (!is_schema && s->kinds == QUESTION_KINDS_UNKNOWN)
        FAULT(s, "answer_schema", "must be a JSON Schema, an object");
    if (ok && is_schema)
        check_default(s);
}

void question_rules(const char *before, const struct fm_value *m, enum question_kinds kinds,
                    struct json_schema_work *work, json_schema_report report, void *arg)
{
    const struct rules_report o = {report, arg};
    const struct settings s = {before, m, kinds, work, &o};
    check_times(&s);
    check_choices(&s);
    check_text(&s, "assignee");
    check_text(&s, "key");
    check_escalate(&s);
}
