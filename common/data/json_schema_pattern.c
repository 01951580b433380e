/* Patterns of JSON Schemas: POSIX extended regular expressions whose cost is known before they
 * are compiled. See json_schema_walk.h. */
#include "json_schema_pattern.h"

#include <stdint.h>
#include <string.h>

#define MAX_PATTERN_BYTES 256
#define MAX_REPEATS 100000 /* more are counted as so many */
#define MAX_NESTED 3       /* repetitions inside each other */
#define MAX_EXPANDED 2000  /* a pattern with its repetitions written out: what regcomp makes of it */

/* The size of an expression when its repetitions are written out, as regcomp does: "a+" is
 * "aa*", "a{3}" is "aaa", and what is nested multiplies. Adds up one level of parentheses. */
struct level {
    size_t sum, last; /* of all atoms but the last, and of the last one */
    /* Repetitions inside each other, in all atoms and in the last one: glibc's regcomp takes
     * time exponential in them. */
    unsigned deepest, depth;
};

static size_t end_of_bracket(const char *p, size_t i)
{
    i++;
    if (p[i] == '^')
        i++;
    if (p[i] == ']')
        i++;
    for (; p[i] != '\0' && p[i] != ']'; i++) {
        char kind = p[i] == '[' ? p[i + 1] : '\0';
        if (kind != '.' && kind != ':' && kind != '=')
            continue;
        for (i += 2; p[i] != '\0' && !(p[i] == kind && p[i + 1] == ']'); i++)
            ;
        if (p[i] != '\0')
            i++;
        else
            i--;
    }
    return p[i] == '\0' ? i - 1 : i;
}

/* The last byte of "{3}", "{1,}", "{1,3}" at p[i], and how often it repeats; i itself when it is
 * no interval. */
static size_t end_of_interval(const char *p, size_t i, size_t *ret_times)
{
    size_t at = i + 1;
    unsigned long from = 0, to;
    for (; p[at] >= '0' && p[at] <= '9'; at++)
        from = from > MAX_REPEATS ? from : from * 10 + (unsigned long)(p[at] - '0');
    to = from;
    if (p[at] == ',') {
        to = 0;
        if (p[++at] == '}')
            to = from + 1;
        for (; p[at] >= '0' && p[at] <= '9'; at++)
            to = to > MAX_REPEATS ? to : to * 10 + (unsigned long)(p[at] - '0');
    }
    *ret_times = from > to ? from : to;
    return p[at] == '}' ? at : i;
}

static void add_atom(struct level *l, size_t size, unsigned depth)
{
    l->sum += l->last;
    l->last = size > 0 ? size : 1;
    l->depth = depth;
    if (depth > l->deepest)
        l->deepest = depth;
}

static void repeat_atom(struct level *l, size_t size)
{
    l->last = size;
    l->depth++;
    if (l->depth > l->deepest)
        l->deepest = l->depth;
}

/* SIZE_MAX for a back reference. */
static size_t pattern_cost(const char *p)
{
    struct level levels[MAX_PATTERN_BYTES + 1] = {{0}};
    size_t n = 0, times;
    for (size_t i = 0; p[i] != '\0'; i++) {
        struct level *l = &levels[n];
        if (p[i] == '\\') {
            if (p[i + 1] >= '1' && p[i + 1] <= '9')
                return SIZE_MAX;
            if (p[i + 1] != '\0')
                i++;
            add_atom(l, 1, 0);
        } else if (p[i] == '[') {
            i = end_of_bracket(p, i);
            add_atom(l, 1, 0);
        } else if (p[i] == '(') {
            levels[++n] = (struct level){0};
        } else if (p[i] == ')' && n > 0) {
            n--;
            add_atom(&levels[n], l->sum + l->last, l->deepest);
        } else if (p[i] == '+') {
            repeat_atom(l, l->last * 2 + 1);
        } else if (p[i] == '*' || p[i] == '?') {
            repeat_atom(l, l->last + 1);
        } else if (p[i] == '{' && end_of_interval(p, i, &times) != i) {
            i = end_of_interval(p, i, &times);
            repeat_atom(l, l->last * (times > 0 ? times : 1));
        } else {
            add_atom(l, 1, 0);
        }
        if (levels[n].sum + levels[n].last > MAX_EXPANDED || levels[n].deepest > MAX_NESTED)
            return MAX_EXPANDED + 1;
    }
    return 0;
}

int schema_compile_pattern(struct check *c, const struct fm_value *source, regex_t *ret, bool *ret_ok)
{
    const char *text = fm_value_string(source, "");
    bool is_long = strlen(text) > MAX_PATTERN_BYTES;
    size_t cost = is_long ? 0 : pattern_cost(text);
    if (is_long || cost > 0)
        return schema_refuse(c, "a pattern %s",
                             is_long ? "has at most 256 bytes"
                             : cost == SIZE_MAX
                                 ? "may have no back references"
                                 : "may have at most 3 repetitions inside each other, and 2000 "
                                   "characters when they are written out");
    int rc = regcomp(ret, text, REG_EXTENDED | REG_NOSUB);
    *ret_ok = rc == 0;
    if (rc == 0)
        return 0;
    char message[128];
    (void)regerror(rc, ret, message, sizeof(message));
    return schema_refuse(c, "%s", message);
}

bool schema_matches(const struct check *c, const struct fm_value *source, const char *text)
{
    for (size_t i = 0; i < c->n_patterns; i++)
        if (c->patterns[i].source == source)
            return regexec(&c->patterns[i].regex, text, 0, NULL, 0) == 0;
    return false;
}
