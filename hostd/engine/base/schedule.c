/* The tasks of a job that are not due yet. See schedule.h. */
#include "schedule.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "task.h"

static bool before(const struct task *a, const struct task *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void put(struct schedule *s, size_t at, struct task *t)
{
    s->heap[at] = t;
    t->heap_at = at;
}

static void move_up(struct schedule *s, size_t at)
{
    struct task *t = s->heap[at];
    for (; at > 0 && before(t, s->heap[(at - 1) / 2]); at = (at - 1) / 2)
        put(s, at, s->heap[(at - 1) / 2]);
    put(s, at, t);
}

static void move_down(struct schedule *s, size_t at)
{
    struct task *t = s->heap[at];
    for (size_t child; (child = 2 * at + 1) < s->n; at = child) {
        if (child + 1 < s->n && before(s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s->heap[child], t))
            break;
        put(s, at, s->heap[child]);
    }
    put(s, at, t);
}

/* Routine and key stand one behind the other in a task, each with its zero (task_new). */
static size_t key_bytes(const struct task *t)
{
    return (size_t)(t->key - t->routine) + strlen(t->key) + 1;
}

void schedule_add(struct schedule *s, struct task *t)
{
    s->heap = fm_xgrow(s->heap, s->n, sizeof(struct task *));
    t->order = s->next_order++;
    put(s, s->n++, t);
    move_up(s, s->n - 1);
    if (t->key[0] != '\0')
        HASH_ADD_KEYPTR(hh, s->by_key, t->routine, key_bytes(t), t);
}

void schedule_remove(struct schedule *s, struct task *t)
{
    size_t at = t->heap_at;
    struct task *last = s->heap[--s->n];
    if (t->key[0] != '\0')
        HASH_DELETE(hh, s->by_key, t);
    if (last == t)
        return;
    put(s, at, last);
    move_up(s, at);
    move_down(s, last->heap_at);
}

struct task *schedule_first(const struct schedule *s)
{
    return s->n > 0 ? s->heap[0] : NULL;
}

struct task *schedule_find(const struct schedule *s, const char *routine, const char *key)
{
    struct task *t;
    fm_auto(fm_buf) name = {0};
    if (key[0] == '\0' || s->by_key == NULL)
        return NULL;
    fm_buf_append(&name, routine, strlen(routine) + 1);
    fm_buf_append(&name, key, strlen(key) + 1);
    HASH_FIND(hh, s->by_key, name.p, name.n, t);
    return t;
}

void schedule_done(struct schedule *s)
{
    HASH_CLEAR(hh, s->by_key);
    for (size_t i = 0; i < s->n; i++)
        free(s->heap[i]);
    free(s->heap);
    *s = (struct schedule){0};
}
