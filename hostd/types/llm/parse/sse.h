/* Server-sent events (WHATWG HTML, 9.2.6): lines that end with CR, LF or both, a byte order mark, data of
 * several lines, comments. A function over bytes; it does not know what the data mean. */
#ifndef FM_LLM_SSE_H
#define FM_LLM_SSE_H

#include <stdbool.h>
#include <stddef.h>

#define SSE_TOO_LARGE (-2) /* an event has more than max_bytes */

/* An event: its name ("" when it has none) and its data, which are followed by a NUL and are gone when it
 * returns. What it returns ends sse_push when it is not 0; not SSE_TOO_LARGE. */
typedef int (*sse_event)(void *arg, const char *name, const char *data, size_t n);

struct sse_text {
    char *p;
    size_t n, cap;
};

/* Begins zeroed but for the first three. Its memory is alloc's, and is never given back by itself. */
struct sse {
    void *(*alloc)(void *owner, size_t n); /* never NULL */
    void *owner;
    size_t max_bytes; /* of an event and the line that is coming */
    struct sse_text line, data;
    char name[64];
    size_t mark; /* bytes of a byte order mark that have come */
    bool began, after_cr, has_data;
};

/* Takes bytes, however they are cut. Returns 0, what on_event has returned, or SSE_TOO_LARGE. */
int sse_push(struct sse *s, const char *bytes, size_t n, sse_event on_event, void *arg);
/* The stream has ended: takes the event that has no blank line after it, which servers forget. */
int sse_end(struct sse *s, sse_event on_event, void *arg);

#endif
