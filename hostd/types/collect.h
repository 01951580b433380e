/* Groups of data that a routine collects in its state over many tasks, each with a durable timer
 * that begins with its first datum. For the types aggregate and batch. */
#ifndef FM_COLLECT_H
#define FM_COLLECT_H

#include <fermata/routine.h>

#define COLLECT_KEY_BYTES 240 /* of the state and of schedules, with what stands before the group's name */
#define COLLECT_NAME_BYTES 203

struct collect {
    struct fm_ctx *ctx;
    char name[COLLECT_NAME_BYTES]; /* of the group: its key; a text that could be another value's is quoted */
    bool is_older;                 /* of before keys of different kinds were told apart */
    size_t n;                      /* data so far */
    bool is_empty;                 /* of the caller: it is to have no data */
    double expected; /* how many it is to have, if the caller has set that; kept with the group */
    double round;    /* tells a group from an earlier one of the same name */
};

/* The group that a datum belongs to by the value at config's "key" (a path; without it all data are
 * one group). Returns 0, or -1 after failing the step. */
int collect_begin(struct collect *g, struct fm_ctx *ctx, const struct fm_value *data);
/* The key that the group's data have in common, as text. */
const struct fm_value *collect_key(const struct collect *g);
/* The group that a timer's data name; false when it is gone by now: then there is nothing to do. */
bool collect_of_timer(struct collect *g, struct fm_ctx *ctx, const struct fm_value *timer_data);
/* Appends a datum; the first one starts the timer: a task at `slot` after ms (0: none). */
void collect_add(struct collect *g, const struct fm_value *item, const char *slot, uint64_t ms);
/* All data of the group, in the order of arrival: the group is gone, and so is its timer. */
const struct fm_value *collect_take(struct collect *g);

#endif
