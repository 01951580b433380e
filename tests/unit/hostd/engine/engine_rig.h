/* The engine alone, for tests: its coordinator, its clock and its outside world are the test. What it hears
 * is JSON (json_text.h, from_json.h), what it says is JSON (to_json.h), valid until the end of the test. And
 * its handlers do what the data of their task say:
 *
 *     {'do': [['emit', 'out', {…}], ['fail', 14, 'text'], …]}
 *
 * (rig_handle in engine_rig.c lists the verbs.) Types: "t" (slots in, more, then; events out, other, call,
 * error, notice) and "effect" (the same with FM_EFFECTS), "block" (FM_BLOCKING). */
#ifndef FM_ENGINE_RIG_H
#define FM_ENGINE_RIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

#define JOB "01H000000000000000000000J1"
#define JOB_2 "01H000000000000000000000J2"

struct engine_rig {
    struct engine *e;
    int64_t now;
    bool attached, drained;
    char closed[256];    /* why the engine ended the stream; "" */
    char condition[256]; /* the last ones that were asked: "first; second of DATA" */
    size_t runs;         /* of handlers */
};

extern struct engine_rig rig;

/* setup and teardown: an engine of capacity 2 that has been welcomed (lease 10 s, heartbeat 1 s). */
int rig_setup(void **state);
int rig_teardown(void **state);

/* The coordinator says this, a body of CoordinatorMessage ("'assign': {…}"), numbered. */
void hears(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The stream breaks; it is open again, and Hello has been taken. */
void rig_breaks(void);
json_t *rig_connects(void);
/* Time passes: timers fire, deadlines are kept. Heartbeats of the engine are dropped, and answered when
 * `alive`. */
void rig_pass(int64_t ms, bool alive);

/* The next message that has not been taken, NULL for none; a body of this kind, those before it are dropped.
 */
json_t *said(void);
json_t *said_of(const char *body);
bool said_nothing(void);
/* The next step of JOB, from the batches in order; NULL for none. Those before `number` are dropped. */
json_t *made(void);
json_t *made_step(unsigned number);

/* Assigns JOB under this epoch: routine r of type t, with out of r leading to slot in of e (type effect) if
 * `more` (further members of the Flow, or other routines and connections) does not begin with "'routines'";
 * the inputs are tasks i1, i2, … of routine r, slot in, each with its data ("{'do': […]}", "|" between them).
 */
void assign(unsigned epoch, const char *more, const char *inputs);
/* All steps up to this one are on disk. */
void acks(unsigned epoch, unsigned number);

/* A call that a handler has made, and that has not ended: its id; 0: none. */
uint64_t calling(void);
/* A piece of its response comes; what the engine says to it. It ends with this status. */
int call_brings(const char *bytes);
void call_ends(int status);
/* How many tasks wait for the conditions of breakpoints that were put to them. */
size_t asking(void);
/* The conditions of the first of these have been run: `n` of them, to false, the last one to this output
 * (NULL: it has none); then there was this error ("" for none). */
void conditions_are(size_t n, const char *last, const char *error);
/* Runs what waits for a worker thread. False when nothing does. */
bool rig_works(void);

/* "a.b[0].c" in it as text, as in core_rig.h. */
const char *at(json_t *j, const char *path);
long long number_at(json_t *j, const char *path);

#endif
