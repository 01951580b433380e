/* The rules of the type llm_agent. See rules.h. */
#ifndef FM_RULES_LLM_H
#define FM_RULES_LLM_H

#include "json_schema.h"

void llm_agent_rules(const struct fm_value *schema, const struct fm_value *config,
                     struct json_schema_work *work, json_schema_report report, void *arg);

#endif
