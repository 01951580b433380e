/* What operators change in a job: each is a step of the journal, made by the coordinator, and folded in
 * as any other. All return 0 or -code: a task that is not there, a rule of the fold that is broken. */
#ifndef FM_CORE_REMEDIES_H
#define FM_CORE_REMEDIES_H

#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "who.h"

struct core;
struct job;

/* A task is consumed without running; its routine emits the event (if it is not empty). */
int remedy_skip(struct core *c, struct job *job, const char *task_id, const char *event,
                const Google__Protobuf__Struct *data, const char *by, const char *reason,
                struct fm_err *err) FM_MUST_CHECK;
/* A task gets its attempts anew. */
int remedy_retry(struct core *c, struct job *job, const char *task_id, const char *by, const char *reason,
                 struct fm_err *err) FM_MUST_CHECK;
/* A task gets other data. */
int remedy_edit(struct core *c, struct job *job, const char *task_id, const Google__Protobuf__Struct *data,
                const char *by, const char *reason, struct fm_err *err) FM_MUST_CHECK;
/* Changes keys of the shared data (routine "") or of a routine's state. */
int remedy_patch(struct core *c, struct job *job, const Fermata__V1__PatchStateRequest *r, struct who who,
                 struct fm_err *err) FM_MUST_CHECK;

/* The state is cut to what is to be kept. */
int remedy_trim(struct core *c, struct job *job, const Fermata__V1__Kept *kept, struct who who,
                struct fm_err *err) FM_MUST_CHECK;
/* Whether somebody would run the tasks with which a new generation is to begin; paths begin with `path`.
 * Returns 0 or -FM_INVALID_ARGUMENT. */
int remedy_check_continue(struct core *c, const struct job *job, const Fermata__V1__Continue *how,
                          const char *path, struct fm_err *err) FM_MUST_CHECK;
/* The job starts its journal over: a new generation begins with the step that says so. No host has a step of
 * the job in hand. */
int remedy_continue(struct core *c, struct job *job, const Fermata__V1__Continue *how, struct who who,
                    struct fm_err *err) FM_MUST_CHECK;

#endif
