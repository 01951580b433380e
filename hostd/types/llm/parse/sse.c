/* Server-sent events. See sse.h. */
#include "sse.h"

#include <stdio.h>
#include <string.h>

static void add(struct sse *s, struct sse_text *t, const char *bytes, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        size_t cap = 2 * (t->n + n + 1) + 64;
        char *more = s->alloc(s->owner, cap);
        if (t->n > 0)
            memcpy(more, t->p, t->n);
        t->p = more;
        t->cap = cap;
    }
    if (n > 0)
        memcpy(t->p + t->n, bytes, n);
    t->n += n;
    t->p[t->n] = '\0';
}

static int dispatch(struct sse *s, sse_event on_event, void *arg)
{
    int rc = s->has_data ? on_event(arg, s->name, s->data.p, s->data.n) : 0;
    s->has_data = false;
    s->data.n = 0;
    s->name[0] = '\0';
    return rc;
}

static bool is_field(const char *line, size_t n, const char *name)
{
    return n == strlen(name) && memcmp(line, name, n) == 0;
}

static int take_line(struct sse *s, const char *line, size_t n, sse_event on_event, void *arg)
{
    if (n == 0)
        return dispatch(s, on_event, arg);
    const char *colon = memchr(line, ':', n);
    size_t field = colon == NULL ? n : (size_t)(colon - line);
    const char *value = colon == NULL ? line + n : colon + 1;
    if (value < line + n && *value == ' ')
        value++;
    size_t length = (size_t)(line + n - value);
    if (is_field(line, field, "event")) {
        (void)snprintf(s->name, sizeof(s->name), "%.*s",
                       (int)(length < sizeof(s->name) ? length : sizeof(s->name) - 1), value);
    } else if (is_field(line, field, "data")) {
        add(s, &s->data, "\n", s->has_data ? 1 : 0);
        add(s, &s->data, value, length);
        s->has_data = true;
    }
    return 0; /* comments, and fields that nobody needs */
}

static int end_line(struct sse *s, sse_event on_event, void *arg)
{
    size_t n = s->line.n;
    s->line.n = 0;
    return take_line(s, n > 0 ? s->line.p : "", n, on_event, arg);
}

/* Skips a byte order mark; what only looks like one belongs to the first line. Returns how many of the
 * bytes were taken. */
static size_t skip_mark(struct sse *s, const char *bytes, size_t n)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t i = 0;
    while (i < n && s->mark < 3 && bytes[i] == mark[s->mark]) {
        s->mark++;
        i++;
    }
    if (i == n && s->mark < 3)
        return i; /* more of it may come */
    if (s->mark < 3)
        add(s, &s->line, mark, s->mark);
    s->began = true;
    return i;
}

int sse_push(struct sse *s, const char *bytes, size_t n, sse_event on_event, void *arg)
{
    size_t i = s->began ? 0 : skip_mark(s, bytes, n);
    while (i < n) {
        if (s->after_cr && bytes[i] == '\n') { /* the second half of the line's end */
            s->after_cr = false;
            i++;
            continue;
        }
        s->after_cr = false;
        size_t end = i;
        while (end < n && bytes[end] != '\r' && bytes[end] != '\n')
            end++;
        if (s->line.n + s->data.n + (end - i) > s->max_bytes)
            return SSE_TOO_LARGE;
        add(s, &s->line, bytes + i, end - i);
        i = end;
        if (i == n)
            break;
        s->after_cr = bytes[i++] == '\r';
        int rc = end_line(s, on_event, arg);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int sse_end(struct sse *s, sse_event on_event, void *arg)
{
    int rc = s->line.n > 0 ? end_line(s, on_event, arg) : 0;
    return rc != 0 ? rc : dispatch(s, on_event, arg);
}
