/* The catalog. See builtin_types.h. A unit test of hostd compares it with the types themselves. */
#include "builtin_types.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const llm_providers[] = {"mock", NULL};
static const struct builtin_param llm_config[] = {
    {"provider", PARAM_STRING, true,  0, 0,       llm_providers},
    {"delay_ms", PARAM_NUMBER, false, 0, 3600000, NULL         },
    {"script",   PARAM_LIST,   false, 0, 0,       NULL         },
    {"ask",      PARAM_BOOL,   false, 0, 0,       NULL         },
    {"system",   PARAM_STRING, false, 0, 0,       NULL         },
    {"model",    PARAM_STRING, false, 0, 0,       NULL         },
};
static const struct builtin_param llm_trigger[] = {
    {"task", PARAM_STRING, false, 0, 0, NULL}
};
static const struct builtin_slot llm_slots[] = {
    {"trigger",     llm_trigger, COUNT(llm_trigger)},
    {"user_input",  NULL,        0                 },
    {"continue",    NULL,        0                 },
    {"tool_result", NULL,        0                 },
};
static const char *const llm_events[] = {"output", "question", "tool_call", "completed"};

static const struct builtin_param human_config[] = {
    {"question", PARAM_STRING,  false, 0, 0, NULL},
    {"choices",  PARAM_STRINGS, false, 0, 0, NULL},
};
static const struct builtin_param human_input[] = {
    {"question", PARAM_STRING, false, 0, 0, NULL}
};
static const struct builtin_slot human_slots[] = {
    {"input",  human_input, COUNT(human_input)},
    {"answer", NULL,        0                 }
};

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const struct builtin_param log_config[] = {
    {"level",   PARAM_STRING, false, 0, 0, log_levels},
    {"message", PARAM_STRING, false, 0, 0, NULL      },
};
static const struct builtin_slot log_slots[] = {
    {"input", NULL, 0}
};

static const char *const output_event[] = {"output"};

static const struct builtin_type types[] = {
    {"llm_agent", 1, llm_slots,   COUNT(llm_slots),   llm_events,   COUNT(llm_events), llm_config,
     COUNT(llm_config),                                                                                                   true },
    {"human",     1, human_slots, COUNT(human_slots), output_event, 1,                 human_config, COUNT(human_config), false},
    {"log",       1, log_slots,   COUNT(log_slots),   output_event, 1,                 log_config,   COUNT(log_config),   false},
};

const struct builtin_type *builtin_types(size_t *ret_n)
{
    *ret_n = COUNT(types);
    return types;
}

const struct builtin_type *builtin_type_find(const char *name)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

const char *param_kind_name(enum param_kind kind)
{
    switch (kind) {
    case PARAM_STRING:
        return "a string";
    case PARAM_NUMBER:
        return "a number";
    case PARAM_BOOL:
        return "true or false";
    case PARAM_LIST:
        return "a list";
    case PARAM_STRINGS:
        return "a list of strings";
    case PARAM_MAP:
        return "an object";
    case PARAM_ANY:
        return "any value";
    }
    return "any value";
}
