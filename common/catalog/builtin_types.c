/* The catalog. See builtin_types.h. A unit test of hostd compares it with the types themselves. */
#include "builtin_types.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const llm_providers[] = {"mock", "openai", "anthropic", NULL};
static const struct builtin_param llm_config[] = {
    {"provider",        PARAM_STRING, true,  0, 0,       llm_providers},
    {"delay_ms",        PARAM_NUMBER, false, 0, 3600000, NULL         },
    {"script",          PARAM_LIST,   false, 0, 0,       NULL         },
    {"ask",             PARAM_BOOL,   false, 0, 0,       NULL         },
    {"system",          PARAM_STRING, false, 0, 0,       NULL         },
    {"model",           PARAM_STRING, false, 0, 0,       NULL         },
    {"base_url",        PARAM_STRING, false, 0, 0,       NULL         },
    {"api_key",         PARAM_STRING, false, 0, 0,       NULL         },
    {"temperature",     PARAM_NUMBER, false, 0, 2,       NULL         },
    {"top_p",           PARAM_NUMBER, false, 0, 1,       NULL         },
    {"seed",            PARAM_NUMBER, false, 0, 0,       NULL         },
    {"max_tokens",      PARAM_NUMBER, false, 1, 1e9,     NULL         },
    {"stop",            PARAM_ANY,    false, 0, 0,       NULL         },
    {"response_format", PARAM_MAP,    false, 0, 0,       NULL         },
    {"stream",          PARAM_BOOL,   false, 0, 0,       NULL         },
    {"tools",           PARAM_LIST,   false, 0, 0,       NULL         },
    {"limits",          PARAM_MAP,    false, 0, 0,       NULL         },
    {"timeouts",        PARAM_MAP,    false, 0, 0,       NULL         },
    {"params",          PARAM_MAP,    false, 0, 0,       NULL         },
};
static const struct builtin_param llm_trigger[] = {
    {"task", PARAM_CONTENT, false, 0, 0, NULL}
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

static const char *const output_event[] = {"output"};

#define YEAR_MS (366.0 * 24 * 3600 * 1000)

static const struct builtin_slot input_slot[] = {
    {"input", NULL, 0}
};
static const struct builtin_slot input_and_due_slots[] = {
    {"input", NULL, 0},
    {"_due",  NULL, 0}
};

static const struct builtin_param split_config[] = {
    {"path", PARAM_STRING,  false, 0, 0, NULL},
    {"with", PARAM_STRINGS, false, 0, 0, NULL},
};
static const char *const split_events[] = {"item", "done"};

static const struct builtin_param sleep_config[] = {
    {"ms",         PARAM_NUMBER, false, 0, YEAR_MS, NULL},
    {"ms_path",    PARAM_STRING, false, 0, 0,       NULL},
    {"until_path", PARAM_STRING, false, 0, 0,       NULL},
};
static const char *const sleep_one_of[] = {"ms", "ms_path", "until_path", NULL};

static const struct builtin_param aggregate_config[] = {
    {"count",      PARAM_NUMBER,  false, 1, 10000,   NULL},
    {"count_path", PARAM_STRING,  false, 0, 0,       NULL},
    {"sources",    PARAM_STRINGS, false, 0, 0,       NULL},
    {"key",        PARAM_STRING,  false, 0, 0,       NULL},
    {"timeout_ms", PARAM_NUMBER,  false, 1, YEAR_MS, NULL},
};
static const char *const aggregate_one_of[] = {"count", "count_path", "sources", NULL};
static const struct builtin_slot aggregate_slots[] = {
    {"*",        NULL, 0},
    {"_timeout", NULL, 0}
};
static const char *const aggregate_events[] = {"output", "timeout"};

static const struct builtin_param batch_config[] = {
    {"size",        PARAM_NUMBER, false, 1, 10000,   NULL},
    {"max_wait_ms", PARAM_NUMBER, false, 1, YEAR_MS, NULL},
    {"key",         PARAM_STRING, false, 0, 0,       NULL},
};
static const struct builtin_slot batch_slots[] = {
    {"input", NULL, 0},
    {"flush", NULL, 0},
    {"_due",  NULL, 0}
};

static const struct builtin_param debounce_config[] = {
    {"wait_ms", PARAM_NUMBER, true,  1, YEAR_MS, NULL},
    {"key",     PARAM_STRING, false, 0, 0,       NULL},
};

static const char *const job_on_failure[] = {"fail", "event", NULL};
static const struct builtin_param job_config[] = {
    {"flow",       PARAM_STRING,  true,  0, 0,          NULL          },
    {"version",    PARAM_NUMBER,  false, 0, 4294967295, NULL          },
    {"routine",    PARAM_STRING,  true,  0, 0,          NULL          },
    {"slot",       PARAM_STRING,  true,  0, 0,          NULL          },
    {"shared",     PARAM_STRINGS, false, 0, 0,          NULL          },
    {"on_failure", PARAM_STRING,  false, 0, 0,          job_on_failure},
};
static const struct builtin_slot job_slots[] = {
    {"start",   NULL, 0},
    {"_result", NULL, 0}
};
static const char *const job_events[] = {"completed", "failed"};

static const struct builtin_param validate_config[] = {
    {"schema", PARAM_SCHEMA, true,  0, 0, NULL},
    {"path",   PARAM_STRING, false, 0, 0, NULL},
};
static const char *const validate_events[] = {"valid", "invalid"};

static const char *const exec_modes[] = {"once", "serve", NULL};
static const struct builtin_param exec_config[] = {
    {"command",              PARAM_STRINGS, true,  0, 0,       NULL      },
    {"env",                  PARAM_MAP,     false, 0, 0,       NULL      },
    {"cwd",                  PARAM_STRING,  false, 0, 0,       NULL      },
    {"timeout_ms",           PARAM_NUMBER,  false, 1, YEAR_MS, NULL      },
    {"max_output_bytes",     PARAM_NUMBER,  false, 1, 1e9,     NULL      },
    {"max_memory_bytes",     PARAM_NUMBER,  false, 1, 1e15,    NULL      },
    {"retryable_exit_codes", PARAM_LIST,    false, 0, 0,       NULL      },
    {"mode",                 PARAM_STRING,  false, 0, 0,       exec_modes},
    {"processes",            PARAM_NUMBER,  false, 1, 64,      NULL      },
    {"idle_ms",              PARAM_NUMBER,  false, 1, YEAR_MS, NULL      },
};
static const struct builtin_slot any_slot[] = {
    {"*", NULL, 0}
};
static const char *const any_event[] = {"*"};
static const char *const jq_modes[] = {"map", "filter", "route", NULL};
static const struct builtin_param jq_config[] = {
    {"program",     PARAM_JQ,     true,  0, 0,      NULL    },
    {"mode",        PARAM_STRING, false, 0, 0,      jq_modes},
    {"max_outputs", PARAM_NUMBER, false, 1, 100000, NULL    },
    {"timeout_ms",  PARAM_NUMBER, false, 1, 60000,  NULL    },
};
static const char *const jq_events[] = {"output", "rejected", "*"};

static const char *const http_methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", NULL};
static const char *const http_fail_on[] = {"4xx", "5xx", "never", NULL};
static const struct builtin_param http_config[] = {
    {"url",                PARAM_STRING,  false, 0, 0,       NULL        },
    {"url_expr",           PARAM_JQ,      false, 0, 0,       NULL        },
    {"method",             PARAM_STRING,  false, 0, 0,       http_methods},
    {"headers",            PARAM_MAP,     false, 0, 0,       NULL        },
    {"headers_expr",       PARAM_JQ,      false, 0, 0,       NULL        },
    {"body",               PARAM_ANY,     false, 0, 0,       NULL        },
    {"body_expr",          PARAM_JQ,      false, 0, 0,       NULL        },
    {"secret_headers",     PARAM_MAP,     false, 0, 0,       NULL        },
    {"fail_on",            PARAM_STRING,  false, 0, 0,       http_fail_on},
    {"with",               PARAM_STRINGS, false, 0, 0,       NULL        },
    {"timeout_ms",         PARAM_NUMBER,  false, 1, 3600000, NULL        },
    {"max_response_bytes", PARAM_NUMBER,  false, 1, 8388608, NULL        },
};
static const char *const http_one_of[] = {"url", "url_expr", NULL};
static const char *const http_events[] = {"response"};

#define SLOTS(a) .slots = a, .n_slots = COUNT(a)
#define EVENTS(a) .events = a, .n_events = COUNT(a)
#define CONFIG(a) .config = a, .n_config = COUNT(a)

/* clang-format off */
static const struct builtin_type types[] = {
    {.name = "llm_agent", .version = 2, SLOTS(llm_slots), EVENTS(llm_events), CONFIG(llm_config), .closed_provider = "mock", .effects = true},
    {.name = "human", .version = 1, SLOTS(human_slots), EVENTS(output_event), CONFIG(human_config)},
    {.name = "log", .version = 1, SLOTS(input_slot), EVENTS(output_event), CONFIG(log_config)},
    {.name = "split", .version = 1, SLOTS(input_slot), EVENTS(split_events), CONFIG(split_config)},
    {.name = "sleep", .version = 1, SLOTS(input_and_due_slots), EVENTS(output_event), CONFIG(sleep_config),
     .one_of = sleep_one_of},
    {.name = "aggregate", .version = 1, SLOTS(aggregate_slots), EVENTS(aggregate_events), CONFIG(aggregate_config),
     .one_of = aggregate_one_of},
    {.name = "batch", .version = 1, SLOTS(batch_slots), EVENTS(output_event), CONFIG(batch_config)},
    {.name = "debounce", .version = 1, SLOTS(input_and_due_slots), EVENTS(output_event), CONFIG(debounce_config)},
    {.name = "job", .version = 1, SLOTS(job_slots), EVENTS(job_events), CONFIG(job_config)},
    {.name = "validate", .version = 1, SLOTS(input_slot), EVENTS(validate_events), CONFIG(validate_config)},
    {.name = "exec", .version = 1, SLOTS(any_slot), EVENTS(any_event), CONFIG(exec_config), .effects = true},
    {.name = "jq", .version = 1, SLOTS(input_slot), EVENTS(jq_events), CONFIG(jq_config)},
    {.name = "http", .version = 1, SLOTS(input_slot), EVENTS(http_events), CONFIG(http_config), .effects = true,
     .one_of = http_one_of},
};
/* clang-format on */

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
    case PARAM_JQ:
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
    case PARAM_SCHEMA:
        return "an object";
    case PARAM_CONTENT:
        return "a string, or a list of a provider's content parts";
    case PARAM_ANY:
        return "any value";
    }
    return "any value";
}
