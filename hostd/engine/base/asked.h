/* The questions of a job that are open, as a host knows them: so that a routine can withdraw them. */
#ifndef FM_ENGINE_ASKED_H
#define FM_ENGINE_ASKED_H

#include <stdbool.h>

struct hjob;

struct asked {
    struct asked *prev, *next;
    const char *pause_id, *routine, *key, *call_id;
};

/* Adds one; the texts are copied. */
void asked_add(struct asked **list, const struct asked *from);
/* Takes one out; false: it is not there. */
bool asked_remove(struct asked **list, const char *pause_id);
const struct asked *asked_find(const struct asked *list, const char *pause_id);
/* Whether `name` means it: its key, its tool call or its pause. */
bool asked_is(const struct asked *a, const char *name);
void asked_free(struct asked **list);

#endif
