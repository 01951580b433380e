/* Whether an answer is one that its question accepts. */
#ifndef FM_ANSWER_CHECK_H
#define FM_ANSWER_CHECK_H

#include "err.h"
#include "fermata/v1/types.pb-c.h"

/* With choices, the answer must be one of them: its text, or, when that text is JSON, the value it stands
 * for. With an answer schema (JSON Schema, see common/data/json_schema.h) it must meet it; with
 * choices_or_schema one of the two is enough, but a text must be a choice. Returns 0, or
 * -FM_INVALID_ARGUMENT: each fault names its place in the answer
 * and what the schema's description says is wanted, or, when the schema itself is faulty,
 * -FM_FAILED_PRECONDITION. */
int answer_check(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer,
                 struct fm_err *err) FM_MUST_CHECK;

/* The same for a thread on which others wait: takes some milliseconds at most, and matches no patterns. What
 * would take longer is not looked at to its end: -FM_RESOURCE_EXHAUSTED, and err is empty. Then another
 * thread has to do it. */
int answer_check_brief(const Fermata__V1__Pause *pause, const Google__Protobuf__Value *answer,
                       struct fm_err *err) FM_MUST_CHECK;

#endif
