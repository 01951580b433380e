/* Reasons of ends. See stop.h. */
#include "stop.h"

#include <stddef.h>
#include <strings.h>

static const struct {
    const char *reason;
    enum llm_stop means;
} reasons[] = {
    {"stop",                          LLM_STOP_DONE  },
    {"end_turn",                      LLM_STOP_DONE  },
    {"stop_sequence",                 LLM_STOP_DONE  },
    {"pause_turn",                    LLM_STOP_DONE  },
    {"eos",                           LLM_STOP_DONE  },
    {"eos_token",                     LLM_STOP_DONE  },
    {"complete",                      LLM_STOP_DONE  },
    {"tool_calls",                    LLM_STOP_CALLS },
    {"tool_call",                     LLM_STOP_CALLS },
    {"tool_use",                      LLM_STOP_CALLS },
    {"function_call",                 LLM_STOP_CALLS },
    {"length",                        LLM_STOP_SHORT },
    {"max_tokens",                    LLM_STOP_SHORT },
    {"model_length",                  LLM_STOP_SHORT },
    {"model_context_window_exceeded", LLM_STOP_SHORT },
    {"content_filter",                LLM_STOP_SHORT },
    {"safety",                        LLM_STOP_SHORT },
    {"recitation",                    LLM_STOP_SHORT },
    {"prohibited_content",            LLM_STOP_SHORT },
    {"sensitive",                     LLM_STOP_SHORT },
    {"refusal",                       LLM_STOP_SHORT },
    {"error",                         LLM_STOP_FAILED},
    {"abort",                         LLM_STOP_FAILED},
    {"aborted",                       LLM_STOP_FAILED},
    {"cancelled",                     LLM_STOP_FAILED},
    {"canceled",                      LLM_STOP_FAILED},
    {"timeout",                       LLM_STOP_FAILED},
    {"network_error",                 LLM_STOP_FAILED},
    {"insufficient_system_resource",  LLM_STOP_FAILED},
    {"malformed_function_call",       LLM_STOP_FAILED},
};

enum llm_stop llm_stop_of(const char *reason)
{
    if (reason == NULL || reason[0] == '\0')
        return LLM_STOP_NONE;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strcasecmp(reasons[i].reason, reason) == 0)
            return reasons[i].means;
    return LLM_STOP_UNKNOWN;
}

const char *llm_stop_warning(const char *reason)
{
    enum llm_stop stop = llm_stop_of(reason);
    if (stop == LLM_STOP_NONE)
        return "warning: the model's reply does not say why it ended: it may be cut off";
    if (stop == LLM_STOP_UNKNOWN)
        return "warning: the model's reply ended for a reason that is not known here";
    if (stop != LLM_STOP_SHORT)
        return NULL;
    if (strcasecmp(reason, "refusal") == 0)
        return "warning: the model refused to answer";
    static const char *const cut[] = {"length", "max_tokens", "model_length",
                                      "model_context_window_exceeded"};
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++)
        if (strcasecmp(reason, cut[i]) == 0)
            return "warning: the model's reply was cut off";
    return "warning: the provider withheld part of the model's reply";
}
