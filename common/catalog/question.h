/* The settings of a question, wherever somebody gives them: the configuration of a routine, a program's line,
 * a plugin. */
#ifndef FM_QUESTION_H
#define FM_QUESTION_H

#include "json_schema.h"

/* The settings that every question may have, by their names; ends with NULL. */
extern const char *const question_settings[];

enum question_kinds {
    QUESTION_KINDS_UNKNOWN, /* values of the wrong kind are faults */
    QUESTION_KINDS_CHECKED  /* a schema has been there, and reports them */
};

/* Reports what is wrong with those of them that the map has: values of the wrong kind, and what contradicts
 * itself. `before` stands before the names in paths ("" or "ask."). Deadlines that have passed are not
 * faults here: see question_deadline. Of other keys it says nothing. */
void question_rules(const char *before, const struct fm_value *m, enum question_kinds kinds,
                    struct json_schema_work *work, json_schema_report report, void *arg);

/* on_timeout: "default", "event" or "fail" is 1 to 3, as in enum fm_on_timeout; NULL is 0, anything else -1.
 */
int question_on_timeout(const char *name);
/* deadline_at: RFC 3339 text, or seconds since 1970, in milliseconds. False: it is neither. */
bool question_deadline(const struct fm_value *v, double *ret_ms);
/* escalate is one of {"after_ms", "to"}, or a list of them: how many, and each. */
size_t question_escalations(const struct fm_value *escalate);
const struct fm_value *question_escalation(const struct fm_value *escalate, size_t i);

#endif
