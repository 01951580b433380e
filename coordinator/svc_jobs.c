/* The Jobs service: one row a method; all of them are the core's (core_jobs.c, core_read.c, core_watch.c). */
#include "fermata/v1/jobs.pb-c.h"
#include "svc.h"

const struct rpc_method jobs_methods[] = {
    SVC_CORE("/fermata.v1.Jobs/SubmitJob", RPC_UNARY, submit_job_request, CORE_SUBMIT_JOB),
    SVC_CORE("/fermata.v1.Jobs/GetJob", RPC_UNARY, get_job_request, CORE_GET_JOB),
    SVC_CORE("/fermata.v1.Jobs/ListJobs", RPC_UNARY, list_jobs_request, CORE_LIST_JOBS),
    SVC_CORE("/fermata.v1.Jobs/GetHistory", RPC_UNARY, get_history_request, CORE_GET_HISTORY),
    SVC_CORE("/fermata.v1.Jobs/WatchJob", RPC_SERVER_STREAM, watch_job_request, CORE_WATCH_JOB),
    SVC_CORE("/fermata.v1.Jobs/PauseJob", RPC_UNARY, pause_job_request, CORE_PAUSE_JOB),
    SVC_CORE("/fermata.v1.Jobs/ResumeJob", RPC_UNARY, resume_job_request, CORE_RESUME_JOB),
    SVC_CORE("/fermata.v1.Jobs/CancelJob", RPC_UNARY, cancel_job_request, CORE_CANCEL_JOB),
    SVC_CORE("/fermata.v1.Jobs/DeleteJob", RPC_UNARY, delete_job_request, CORE_DELETE_JOB),
    SVC_CORE("/fermata.v1.Jobs/SendInput", RPC_UNARY, send_input_request, CORE_SEND_INPUT),
    SVC_CORE("/fermata.v1.Jobs/ForkJob", RPC_UNARY, fork_job_request, CORE_FORK_JOB),
    SVC_CORE("/fermata.v1.Jobs/SetBreakpoints", RPC_UNARY, set_breakpoints_request, CORE_SET_BREAKPOINTS),
    SVC_CORE("/fermata.v1.Jobs/RetryTask", RPC_UNARY, retry_task_request, CORE_RETRY_TASK),
    SVC_CORE("/fermata.v1.Jobs/SkipTask", RPC_UNARY, skip_task_request, CORE_SKIP_TASK),
    SVC_CORE("/fermata.v1.Jobs/EditTask", RPC_UNARY, edit_task_request, CORE_EDIT_TASK),
    SVC_CORE("/fermata.v1.Jobs/PatchState", RPC_UNARY, patch_state_request, CORE_PATCH_STATE),
    SVC_CORE("/fermata.v1.Jobs/ListPauses", RPC_UNARY, list_pauses_request, CORE_LIST_PAUSES),
    SVC_CORE("/fermata.v1.Jobs/ClaimPause", RPC_UNARY, claim_pause_request, CORE_CLAIM_PAUSE),
    SVC_CORE("/fermata.v1.Jobs/ReleasePause", RPC_UNARY, release_pause_request, CORE_RELEASE_PAUSE),
    SVC_CORE("/fermata.v1.Jobs/CountJobs", RPC_UNARY, count_jobs_request, CORE_COUNT_JOBS),
    SVC_CORE("/fermata.v1.Jobs/ExplainJob", RPC_UNARY, explain_job_request, CORE_EXPLAIN_JOB),
    SVC_CORE("/fermata.v1.Jobs/GetUsage", RPC_UNARY, get_usage_request, CORE_GET_USAGE),
};
const size_t n_jobs_methods = sizeof(jobs_methods) / sizeof(jobs_methods[0]);
