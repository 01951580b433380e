/* fermata host … */
#include "commands.h"
#include "words.h"

static const struct cli_word host_arg[] = {CLI_HOST_ARG};
static const struct cli_word ls_options[] = {CLI_LIMIT};
#define HOST_COLUMNS                                                                                         \
    {"HOST", "hostId", CLI_AS_IS, false}, {"STATUS", "status", CLI_AS_STATUS, false},                        \
        {"JOBS", "jobCount", CLI_AS_IS, false}, {"CAPACITY", "capacity", CLI_AS_IS, false},                  \
        {"CORDONED", "cordoned", CLI_AS_IS, false}, {"DRAINING", "draining", CLI_AS_IS, false},              \
        {"LABELS", "labels", CLI_AS_PAIRS, false},                                                           \
    {                                                                                                        \
        "ATTACHED", "attachedAt", CLI_AS_TIME, false                                                         \
    }
static const struct cli_column ls_columns[] = {
    HOST_COLUMNS,
    {"VERSION", "version",      CLI_AS_IS,    true},
    {"PEER",    "peer",         CLI_AS_IS,    true},
    {"TYPES",   "routineTypes", CLI_AS_COUNT, true},
};
const struct cli_command cli_host_ls = {
    .name = "host ls",
    .summary = "Lists the hosts",
    .method = "Hosts/ListHosts",
    .options = ls_options,
    .n_options = CLI_COUNT(ls_options),
    .list = "hosts",
    .id = "hostId",
    .columns = ls_columns,
    .n_columns = CLI_COUNT(ls_columns),
    .pages = true,
};
static const struct cli_column get_columns[] = {
    {"HOST",     "host.hostId",       CLI_AS_IS,     false},
    {"STATUS",   "host.status",       CLI_AS_STATUS, false},
    {"CAPACITY", "host.capacity",     CLI_AS_IS,     false},
    {"CORDONED", "host.cordoned",     CLI_AS_IS,     false},
    {"DRAINING", "host.draining",     CLI_AS_IS,     false},
    {"LABELS",   "host.labels",       CLI_AS_PAIRS,  false},
    {"ATTACHED", "host.attachedAt",   CLI_AS_TIME,   false},
    {"VERSION",  "host.version",      CLI_AS_IS,     false},
    {"PEER",     "host.peer",         CLI_AS_IS,     false},
    {"REFUSED",  "host.refusedTypes", CLI_AS_IS,     false},
    {"JOBS",     "jobIds",            CLI_AS_IS,     false},
};
const struct cli_command cli_host_get = {
    .name = "host get",
    .summary = "Shows a host with the jobs it has",
    .method = "Hosts/GetHost",
    .args = host_arg,
    .n_args = CLI_COUNT(host_arg),
    .id = "host.hostId",
    .columns = get_columns,
    .n_columns = CLI_COUNT(get_columns),
};

static const struct cli_column host_columns[] = {HOST_COLUMNS};
const struct cli_command cli_host_cordon = {
    .name = "host cordon",
    .summary = "Keeps new work from a host",
    .method = "Hosts/CordonHost",
    .args = host_arg,
    .n_args = CLI_COUNT(host_arg),
    .one = "host",
    .id = "hostId",
    .columns = host_columns,
    .n_columns = CLI_COUNT(host_columns),
};
const struct cli_command cli_host_uncordon = {
    .name = "host uncordon",
    .summary = "Lets new work come to a host again",
    .method = "Hosts/CordonHost",
    .args = host_arg,
    .n_args = CLI_COUNT(host_arg),
    .fixed = "{\"uncordon\": true}",
    .one = "host",
    .id = "hostId",
    .columns = host_columns,
    .n_columns = CLI_COUNT(host_columns),
};
static const struct cli_word drain_options[] = {
    {"deadline", CLI_SPAN, "deadlineMs", "how long the steps in hand may take", NULL, true},
};
const struct cli_command cli_host_drain = {
    .name = "host drain",
    .summary = "Cordons a host and moves its jobs away, each at the end of its step in hand",
    .method = "Hosts/DrainHost",
    .args = host_arg,
    .n_args = CLI_COUNT(host_arg),
    .options = drain_options,
    .n_options = CLI_COUNT(drain_options),
    .one = "host",
    .id = "hostId",
    .columns = host_columns,
    .n_columns = CLI_COUNT(host_columns),
    .confirm = "Drain the host",
};
