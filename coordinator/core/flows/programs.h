/* jq programs and JSON Schemas of requests, and answers to questions with schemas: what of them is known to
 * be sound, and requests that wait for the others to be checked on another thread. */
#ifndef FM_CORE_FLOWS_PROGRAMS_H
#define FM_CORE_FLOWS_PROGRAMS_H

#include <stdbool.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"

struct core;
struct op;
struct program_check;

/* Checks jq programs and schemas of an op; takes ownership of `k`. True: their faults were added to err, if
 * there are any. False: the op was parked and runs again when they have been checked, and err is empty. */
bool programs_checked(struct core *c, struct op *op, struct program_check *k,
                      struct fm_err *err) FM_MUST_CHECK;
/* Whether an answer is one that its question accepts: what is quickly seen at once, else on another thread.
 * Returns 0, -code as answer_check does, or OP_WAITS: the op was parked and runs again. */
int programs_check_answer(struct core *c, struct op *op, const Fermata__V1__Pause *pause,
                          const Google__Protobuf__Value *answer, struct fm_err *err) FM_MUST_CHECK;
void programs_free(struct core *c);

/* What io.check was given has been checked: the op that waits for it runs again. Frees it. */
void programs_done(struct core *c, struct program_check *k);

#endif
