/* Questions of children: shown with their parent's, under the pause id CHILD/PAUSE (a grandchild's is
 * CHILD/GRANDCHILD/PAUSE), and answered by way of the parent. */
#ifndef FM_CORE_CHILD_QUESTIONS_H
#define FM_CORE_CHILD_QUESTIONS_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "place.h"

struct child_ref;
struct core;
struct job;
struct op;

/* The own state of a method that collects them. */
struct child_questions {
    char pause_id[PAUSE_ID_BYTES]; /* first: of a ResumeJob call that waits for a host (place.h) */
    struct child_ref *todo;        /* whose records are still to be read */
    bool read;                     /* all are */
    struct fm_buf pauses;          /* fields of a Job */
};

/* Collects the open questions of the children of a job, of which this is the record, into op->own.
 * Returns false while they are being read: then the op runs again. */
bool children_questions(struct core *c, struct op *op, struct fm_bytes head);
/* For the method's row. */
void child_questions_free(struct core *c, void *own);

/* A request (with the fields job_id and pause_id) whose pause id begins with a child's id is turned
 * into one to the child. Returns 0, OP_WAITS, or -code. */
int children_forward(struct core *c, struct op *op, struct fm_err *err) FM_MUST_CHECK;

/* Which pause a request means that names none: the only one that is open, of the job or of its children.
 * `*job` becomes the job whose pause it is (the frame lets it rest), *ret_pause_id its id there; "" when none
 * is open. Returns 0; OP_WAITS; -FM_FAILED_PRECONDITION naming them when several are open. */
int pause_meant(struct core *c, struct op *op, struct job **job, char ret_pause_id[PAUSE_ID_BYTES],
                struct fm_err *err) FM_MUST_CHECK;

#endif
