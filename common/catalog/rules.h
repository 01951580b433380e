/* What schemas of configurations cannot say: functions of the built-in types. */
#ifndef FM_RULES_H
#define FM_RULES_H

#include "json_schema.h"

/* Reports what is wrong with a configuration beyond what its schema says. Of values of the wrong
 * kind, which the schema reports, it says nothing. The work is that of json_schema_check_plain. */
typedef void (*type_rules)(const struct fm_value *schema, const struct fm_value *config,
                           struct json_schema_work *work, json_schema_report report, void *arg);

/* The rules of a built-in type; NULL: it has none. */
type_rules rules_of(const char *type);

#endif
