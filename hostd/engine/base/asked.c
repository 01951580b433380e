/* Open questions of a job. See asked.h. */
#include "asked.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "mem.h"

static const char *put(char **at, const char *s)
{
    size_t n = strlen(s) + 1;
    const char *copy = memcpy(*at, s, n);
    *at += n;
    return copy;
}

void asked_add(struct asked **list, const struct asked *from)
{
    size_t text =
        strlen(from->pause_id) + strlen(from->routine) + strlen(from->key) + strlen(from->call_id) + 4;
    struct asked *a = fm_xmalloc(sizeof(*a) + text);
    char *at = (char *)(a + 1);
    a->pause_id = put(&at, from->pause_id);
    a->routine = put(&at, from->routine);
    a->key = put(&at, from->key);
    a->call_id = put(&at, from->call_id);
    DL_APPEND(*list, a);
}

const struct asked *asked_find(const struct asked *list, const char *pause_id)
{
    const struct asked *a;
    DL_FOREACH (list, a)
        if (strcmp(a->pause_id, pause_id) == 0)
            return a;
    return NULL;
}

bool asked_remove(struct asked **list, const char *pause_id)
{
    struct asked *a, *tmp;
    DL_FOREACH_SAFE (*list, a, tmp) {
        if (strcmp(a->pause_id, pause_id) != 0)
            continue;
        DL_DELETE(*list, a);
        free(a);
        return true;
    }
    return false;
}

bool asked_is(const struct asked *a, const char *name)
{
    return name[0] != '\0' &&
           (strcmp(a->key, name) == 0 || strcmp(a->call_id, name) == 0 || strcmp(a->pause_id, name) == 0);
}

void asked_free(struct asked **list)
{
    struct asked *a, *tmp;
    DL_FOREACH_SAFE (*list, a, tmp)
        free(a);
    *list = NULL;
}
