/* The tasks of a job that are not due yet: the first one at hand, and those with a key found by it, however
 * many there are. */
#ifndef FM_ENGINE_SCHEDULE_H
#define FM_ENGINE_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

struct task;

struct schedule {
    struct task **heap; /* by due time; of equal ones the one that came first */
    size_t n;
    struct task *by_key; /* hash table: those with a key, by routine and key */
    uint64_t next_order;
};

/* Takes the task over; its due_ms says when. */
void schedule_add(struct schedule *s, struct task *t);
/* Gives one that is in it to the caller. */
void schedule_remove(struct schedule *s, struct task *t);
/* The one that is due first; NULL: there is none. */
struct task *schedule_first(const struct schedule *s);
/* The one of a routine with this key; NULL: there is none. */
struct task *schedule_find(const struct schedule *s, const char *routine, const char *key);
/* Frees it with its tasks. */
void schedule_done(struct schedule *s);

#endif
