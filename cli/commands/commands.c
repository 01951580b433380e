/* See commands.h. */
#include "commands.h"

const struct cli_command *const cli_commands[] = {
    &cli_run,          &cli_dev,         &cli_flow_put,      &cli_flow_get,     &cli_flow_ls,
    &cli_flow_rm,      &cli_flow_graph,  &cli_job_submit,    &cli_job_ls,       &cli_job_get,
    &cli_job_watch,    &cli_job_history, &cli_job_explain,   &cli_job_pause,    &cli_job_resume,
    &cli_job_cancel,   &cli_job_rm,      &cli_job_fork,      &cli_job_continue, &cli_state_trim,
    &cli_job_input,    &cli_inbox_ls,    &cli_inbox_show,    &cli_inbox_claim,  &cli_inbox_release,
    &cli_inbox_answer, &cli_task_retry,  &cli_task_skip,     &cli_task_edit,    &cli_state_get,
    &cli_state_patch,  &cli_break_set,   &cli_break_ls,      &cli_break_clear,  &cli_host_ls,
    &cli_host_get,     &cli_host_cordon, &cli_host_uncordon, &cli_host_drain,   &cli_usage_sums,
    &cli_count,        &cli_health,      &cli_config,        &cli_completion,   &cli_version,
    &cli_help_command,
};
const size_t cli_n_commands = CLI_COUNT(cli_commands);
