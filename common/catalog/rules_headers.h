/* Rules of settings that are headers of HTTP requests. See rules.h. */
#ifndef FM_RULES_HEADERS_H
#define FM_RULES_HEADERS_H

#include "rules_report.h"

/* The setting `key`, a map: names and values must be such as may be sent. */
void rules_check_headers(const struct fm_value *config, const char *key, const struct rules_report *o);
/* The same of the type llm_agent, whose values may refer to secrets, "${secret:NAME}": one that is
 * there to identify must. */
void rules_check_agent_headers(const struct fm_value *config, const struct rules_report *o);

#endif
