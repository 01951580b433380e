/* Words that several commands have. */
#ifndef FM_CLI_WORDS_H
#define FM_CLI_WORDS_H

#include "command.h"

#define CLI_JOB_ARG                                                                                          \
    {                                                                                                        \
        "job", CLI_JOB, "jobId", "the job's id, or the beginning or the end of it", NULL, false              \
    }
#define CLI_HOST_ARG                                                                                         \
    {                                                                                                        \
        "host", CLI_HOST, "hostId", "the host's id", NULL, false                                             \
    }
#define CLI_FLOW_ARG                                                                                         \
    {                                                                                                        \
        "flow", CLI_FLOW, "name", "the flow's name", NULL, false                                             \
    }
#define CLI_REASON                                                                                           \
    {                                                                                                        \
        "reason", CLI_TEXT, "reason", "why, for the history", NULL, true                                     \
    }
#define CLI_REQUEST_ID                                                                                       \
    {                                                                                                        \
        "request-id", CLI_TEXT, "requestId",                                                                 \
            "a repeated request with this id and the same content is done once", NULL, true                  \
    }
#define CLI_LIMIT                                                                                            \
    {                                                                                                        \
        "limit", CLI_NUMBER, NULL, "how many to show at most; 1000", NULL, true                              \
    }
#define CLI_PLACEMENT                                                                                        \
    {"host", CLI_HOST, "placement.host", "on this host only", NULL, true},                                   \
        {"host-label", CLI_PAIR, "placement.labels", "only on hosts with this label; may be repeated",       \
         NULL,         true},                                                                                \
    {                                                                                                        \
        "placement", CLI_CHOICE, "placement.mode", "which host", "fermata.v1.PlacementMode", true            \
    }

#endif
