/* Bounded matching by PCRE2. Its own limits are not enough: the match limit counts anew at each place
 * where a match may begin, and a single repetition may run over the whole text without being counted. So
 * an automatic callout before each item of the pattern counts what is done: itself, and how far the place
 * in the text has moved since the last one. What cannot be seen so (a repetition that counts its
 * characters and then fails, a class of many ranges) is at most what the pattern's own numbers say, and is
 * charged with each callout. See ecma_regex.h. */
#include "ecma_regex.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "ecma_syntax.h"
#include "mem.h"

#define NESTED_GROUPS 100
#define MIN_MEMORY_BYTES (256u * 1024)
#define MAX_MEMORY_BYTES (8u * 1024 * 1024)
#define CHARACTERS_PER_CHARGE 32
#define WORK_PER_CHARGE 4         /* a charge is up to 30 ns */
#define COMPILED_BYTES_PER_WORK 8 /* compiling takes some ns for each byte of what is made */
#define TEXT_BYTES_PER_WORK 16    /* of a text that is looked through once */
#define COMPILE_WORK 2000         /* of any pattern */

struct ecma_regex {
    pcre2_code *code;
    size_t per_step; /* charges of a callout, in 1/CHARACTERS_PER_CHARGE */
    size_t per_character;
    size_t bytes;
};

struct ecma_regex_room {
    pcre2_match_data *data;
    pcre2_match_context *context;
    const struct ecma_regex *regex; /* of the match that goes on */
    size_t last, charged, most;     /* place in the text; charges, in 1/CHARACTERS_PER_CHARGE */
};

/* ---- patterns ---- */

static pcre2_code *compile(const struct fm_buf *text, struct fm_err *err)
{
    int fault = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR said[128];
    pcre2_compile_context *c = pcre2_compile_context_create(NULL);
    if (c == NULL)
        fm_abort("out of memory");
    (void)pcre2_set_parens_nest_limit(c, NESTED_GROUPS);
    pcre2_code *code = pcre2_compile(
        text->p, text->n - 1, PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C,
        &fault, &at, c);
    pcre2_compile_context_free(c);
    if (code != NULL)
        return code;
    (void)pcre2_get_error_message(fault, said, sizeof(said));
    (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "%s", (const char *)said);
    return NULL;
}

struct ecma_regex *ecma_regex_new(const char *pattern, struct fm_err *err)
{
    struct ecma_syntax s = {0};
    struct ecma_regex *r = NULL;
    pcre2_code *code = NULL;
    if (strlen(pattern) > ECMA_REGEX_MAX_BYTES)
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "it has %zu bytes; the limit is %d", strlen(pattern),
                         ECMA_REGEX_MAX_BYTES);
    else if (ecma_syntax_read(pattern, &s, err) == 0)
        code = compile(&s.text, err);
    if (code != NULL) {
        r = fm_xcalloc(1, sizeof(*r));
        r->code = code;
        r->per_character = 1 + s.most_class_items;
        r->per_step = CHARACTERS_PER_CHARGE + r->per_character * (1 + s.most_repeats);
        (void)pcre2_pattern_info(code, PCRE2_INFO_SIZE, &r->bytes);
    }
    ecma_syntax_done(&s);
    return r;
}

void ecma_regex_free(struct ecma_regex *r)
{
    if (r == NULL)
        return;
    pcre2_code_free(r->code);
    free(r);
}

size_t ecma_regex_work(const struct ecma_regex *r)
{
    return COMPILE_WORK + r->bytes / COMPILED_BYTES_PER_WORK;
}

/* ---- matching ---- */

static int on_step(pcre2_callout_block *b, void *arg)
{
    struct ecma_regex_room *room = arg;
    size_t at = b->current_position, moved = at > room->last ? at - room->last : room->last - at;
    room->last = at;
    room->charged += room->regex->per_step + moved * room->regex->per_character;
    return room->charged > room->most ? PCRE2_ERROR_CALLOUT : 0;
}

struct ecma_regex_room *ecma_regex_room_new(void)
{
    struct ecma_regex_room *room = fm_xcalloc(1, sizeof(*room));
    room->data = pcre2_match_data_create(1, NULL);
    room->context = pcre2_match_context_create(NULL);
    if (room->data == NULL || room->context == NULL)
        fm_abort("out of memory");
    (void)pcre2_set_callout(room->context, on_step, room);
    return room;
}

void ecma_regex_room_free(struct ecma_regex_room *room)
{
    if (room == NULL)
        return;
    pcre2_match_data_free(room->data);
    pcre2_match_context_free(room->context);
    free(room);
}

static size_t memory_bytes(size_t work)
{
    return work < MIN_MEMORY_BYTES ? MIN_MEMORY_BYTES : work > MAX_MEMORY_BYTES ? MAX_MEMORY_BYTES : work;
}

static enum ecma_regex_result result_of(int rc)
{
    if (rc >= 0)
        return ECMA_REGEX_MATCHES;
    if (rc == PCRE2_ERROR_NOMATCH)
        return ECMA_REGEX_DIFFERS;
    if (rc == PCRE2_ERROR_HEAPLIMIT || rc == PCRE2_ERROR_NOMEMORY || rc == PCRE2_ERROR_DEPTHLIMIT)
        return ECMA_REGEX_TOO_MUCH_MEMORY;
    bool is_utf_fault = rc <= PCRE2_ERROR_UTF8_ERR1 && rc >= PCRE2_ERROR_UTF8_ERR21;
    return is_utf_fault ? ECMA_REGEX_NOT_TEXT : ECMA_REGEX_TOO_MUCH_WORK;
}

enum ecma_regex_result ecma_regex_match(const struct ecma_regex *r, struct ecma_regex_room *room,
                                        const char *text, size_t n, size_t *work)
{
    size_t look = n / TEXT_BYTES_PER_WORK + 1;
    if (look >= *work) {
        *work = 0;
        return ECMA_REGEX_TOO_MUCH_WORK;
    }
    *work -= look;
    size_t steps = *work / WORK_PER_CHARGE + 1;
    room->regex = r;
    room->last = room->charged = 0;
    room->most = steps < SIZE_MAX / CHARACTERS_PER_CHARGE ? steps * CHARACTERS_PER_CHARGE : SIZE_MAX;
    /* The steps are fewer than these anyway: each has a callout of its own. */
    (void)pcre2_set_match_limit(room->context, steps < UINT32_MAX / 8 ? (uint32_t)steps * 8 : UINT32_MAX);
    (void)pcre2_set_depth_limit(room->context, MAX_MEMORY_BYTES / 64);
    (void)pcre2_set_heap_limit(room->context, (uint32_t)(memory_bytes(*work) / 1024));
    int rc = pcre2_match(r->code, (PCRE2_SPTR)text, n, 0, 0, room->data, room->context);
    size_t spent = room->charged / CHARACTERS_PER_CHARGE * WORK_PER_CHARGE;
    *work = spent < *work ? *work - spent : 0;
    return result_of(rc);
}
