/* Checks of answers. See answer_check.h. */
#include "answer_check.h"

#include <stdio.h>
#include <string.h>

#include "arena.h"
#include "job.h"
#include "json_schema.h"
#include "value.h"

#define MEMORY_BYTES (32u * 1024 * 1024)
#define MAX_LISTED 300

static int check_choices(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer,
                         struct fm_err *err)
{
    char list[MAX_LISTED] = "";
    size_t n = 0;
    bool text = answer->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    for (size_t i = 0; i < pause->n_choices; i++) {
        if (text && strcmp(pause->choices[i], answer->string_value) == 0)
            return 0;
        if (n < sizeof(list))
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%.64s\"", i > 0 ? ", " : "",
                                  pause->choices[i]);
    }
    return fm_err_set(err, FM_INVALID_ARGUMENT, "answer", "the answer must be one of %s", list);
}

/* Puts what the schema does not like into an error. */
static void on_fault(void *arg, const char *path, const char *message)
{
    char field[256];
    (void)snprintf(field, sizeof(field), "answer%s%.200s", path[0] != '\0' && path[0] != '[' ? "." : "",
                   path);
    (void)fm_err_add(arg, FM_INVALID_ARGUMENT, field, "the answer does not meet its schema: %s", message);
}

static struct fm_value *decode(const void *message, bool is_struct, struct fm_arena *a, struct fm_err *err)
{
    struct fm_buf b = {0};
    pb_pack(message, &b);
    struct fm_bytes bytes = {b.p, b.n};
    struct fm_value *v = is_struct ? value_decode_struct(bytes, a, err) : value_decode(bytes, a, err);
    fm_buf_done(&b);
    return v;
}

int answer_check(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer, struct fm_err *err)
{
    if (pause->n_choices > 0 && check_choices(pause, answer, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (pause->answer_schema == NULL)
        return 0;
    struct fm_arena arena;
    struct fm_err fault = {0};
    fm_arena_init(&arena, MEMORY_BYTES);
    const struct fm_value *schema = decode(pause->answer_schema, true, &arena, &fault), *v = NULL;
    if (schema != NULL)
        v = decode(answer, false, &arena, &fault);
    int rc = v == NULL ? -FM_INVALID_ARGUMENT : json_schema_check(schema, v, on_fault, err, &fault);
    fm_arena_done(&arena);
    if (fault.code != FM_OK)
        rc = fm_err_set(err,
                        v == NULL || fault.code == FM_RESOURCE_EXHAUSTED ? FM_INVALID_ARGUMENT
                                                                         : FM_FAILED_PRECONDITION,
                        "answer", "the answer cannot be checked against its schema: %s", fault.msg);
    fm_err_done(&fault);
    return rc > 0 ? -FM_INVALID_ARGUMENT : rc;
}
