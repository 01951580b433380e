/* The Jobs service: one row a method; all of them are the core's (core_jobs.c, core_read.c, core_watch.c). */
#include "fermata/v1/jobs.pb-c.h"
#include "svc.h"

const struct rpc_method jobs_methods[] = {
    {"/fermata.v1.Jobs/SubmitJob",  RPC_UNARY,         svc_core_request, &fermata__v1__submit_job_request__descriptor,  CORE_SUBMIT_JOB },
    {"/fermata.v1.Jobs/GetJob",     RPC_UNARY,         svc_core_request, &fermata__v1__get_job_request__descriptor,     CORE_GET_JOB    },
    {"/fermata.v1.Jobs/ListJobs",   RPC_UNARY,         svc_core_request, &fermata__v1__list_jobs_request__descriptor,   CORE_LIST_JOBS  },
    {"/fermata.v1.Jobs/GetHistory", RPC_UNARY,         svc_core_request, &fermata__v1__get_history_request__descriptor, CORE_GET_HISTORY},
    {"/fermata.v1.Jobs/WatchJob",   RPC_SERVER_STREAM, svc_core_request, &fermata__v1__watch_job_request__descriptor,   CORE_WATCH_JOB  },
    {"/fermata.v1.Jobs/PauseJob",   RPC_UNARY,         svc_core_request, &fermata__v1__pause_job_request__descriptor,   CORE_PAUSE_JOB  },
    {"/fermata.v1.Jobs/ResumeJob",  RPC_UNARY,         svc_core_request, &fermata__v1__resume_job_request__descriptor,  CORE_RESUME_JOB },
    {"/fermata.v1.Jobs/CancelJob",  RPC_UNARY,         svc_core_request, &fermata__v1__cancel_job_request__descriptor,  CORE_CANCEL_JOB },
    {"/fermata.v1.Jobs/DeleteJob",  RPC_UNARY,         svc_core_request, &fermata__v1__delete_job_request__descriptor,  CORE_DELETE_JOB },
    {"/fermata.v1.Jobs/SendInput",  RPC_UNARY,         svc_core_request, &fermata__v1__send_input_request__descriptor,  CORE_SEND_INPUT },
};
const size_t n_jobs_methods = sizeof(jobs_methods) / sizeof(jobs_methods[0]);
