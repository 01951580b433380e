/* Patterns of JSON Schemas: their work is part of the check's. See json_schema_pattern.h. */
#include "json_schema_pattern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "ecma_regex.h"
#include "mem.h"

#define MAX_PATTERNS 64
#define SHOWN_BYTES 100 /* of a pattern in a message */

struct pattern {
    const char *source; /* in the schema: the same pointer is the same pattern */
    struct ecma_regex *regex;
};

static int stop_at(struct check *c, const char *pattern, const char *why)
{
    size_t n = fm_utf8_cut(pattern, SHOWN_BYTES);
    return schema_stop(c, "the pattern %.*s%s %s", (int)n, pattern, pattern[n] != '\0' ? "…" : "", why);
}

int schema_add_pattern(struct check *c, const char *text)
{
    fm_auto(fm_err) err = {0};
    if (c->use == JSON_SCHEMA_PLAIN)
        return schema_refuse(c, "this schema may have no patterns");
    if (c->work.no_patterns)
        return schema_stop(c, JSON_SCHEMA_TOO_LARGE);
    if (c->n_patterns == MAX_PATTERNS)
        return schema_refuse(c, "the schema has more than %d patterns", MAX_PATTERNS);
    struct ecma_regex *regex = ecma_regex_new(text, &err);
    if (regex == NULL)
        return schema_refuse(c, "the pattern %.*s is not valid: %s", (int)fm_utf8_cut(text, SHOWN_BYTES),
                             text, err.msg);
    if (c->patterns == NULL) {
        c->patterns = fm_xcalloc(MAX_PATTERNS, sizeof(*c->patterns));
        c->room = ecma_regex_room_new();
    }
    c->patterns[c->n_patterns++] = (struct pattern){text, regex};
    return schema_spend(c, ecma_regex_work(regex)) ? 0
                                                   : stop_at(c, text, "takes too much work to be compiled");
}

static const struct ecma_regex *regex_of(const struct check *c, const char *source)
{
    for (size_t i = 0; i < c->n_patterns; i++)
        if (c->patterns[i].source == source)
            return c->patterns[i].regex;
    return NULL;
}

bool schema_matches(struct check *c, const char *source, const char *text)
{
    const struct ecma_regex *regex = regex_of(c, source);
    if (regex == NULL) /* of a key that came twice the last one counts, and each was compiled */
        fm_abort("a pattern was not compiled");
    size_t may = schema_work_left(c), left = may;
    enum ecma_regex_result result = ecma_regex_match(regex, c->room, text, strlen(text), &left);
    (void)schema_spend(c, may - left);
    if (result == ECMA_REGEX_TOO_MUCH_WORK)
        (void)stop_at(c, source, "takes too much work to be matched: simplify it, or shorten the text");
    else if (result == ECMA_REGEX_TOO_MUCH_MEMORY)
        (void)stop_at(c, source, "takes too much memory to be matched: simplify it, or shorten the text");
    else if (result == ECMA_REGEX_NOT_TEXT)
        (void)stop_at(c, source, "cannot be matched: the text is not UTF-8");
    return result == ECMA_REGEX_MATCHES;
}

void schema_free_patterns(struct check *c)
{
    for (size_t i = 0; i < c->n_patterns; i++)
        ecma_regex_free(c->patterns[i].regex);
    free(c->patterns);
    ecma_regex_room_free(c->room);
    c->patterns = NULL;
    c->room = NULL;
    c->n_patterns = 0;
}
