/* All methods that clients call: a line each. What a method is stands in its own file. */
#include "methods_table.h"

#include <string.h>

#include "method.h"

#define METHODS(METHOD)                                                                                      \
    METHOD(put_flow)                                                                                         \
    METHOD(get_flow)                                                                                         \
    METHOD(list_flows)                                                                                       \
    METHOD(delete_flow)                                                                                      \
    METHOD(get_flow_graph)                                                                                   \
    METHOD(submit_job)                                                                                       \
    METHOD(get_job)                                                                                          \
    METHOD(list_jobs)                                                                                        \
    METHOD(get_history)                                                                                      \
    METHOD(watch_job)                                                                                        \
    METHOD(pause_job)                                                                                        \
    METHOD(resume_job)                                                                                       \
    METHOD(cancel_job)                                                                                       \
    METHOD(delete_job)                                                                                       \
    METHOD(send_input)                                                                                       \
    METHOD(fork_job)                                                                                         \
    METHOD(set_breakpoints)                                                                                  \
    METHOD(retry_task)                                                                                       \
    METHOD(skip_task)                                                                                        \
    METHOD(edit_task)                                                                                        \
    METHOD(patch_state)                                                                                      \
    METHOD(trim_job)                                                                                         \
    METHOD(continue_job)                                                                                     \
    METHOD(list_pauses)                                                                                      \
    METHOD(claim_pause)                                                                                      \
    METHOD(release_pause)                                                                                    \
    METHOD(count_jobs)                                                                                       \
    METHOD(explain_job)                                                                                      \
    METHOD(get_usage)                                                                                        \
    METHOD(list_hosts)                                                                                       \
    METHOD(get_host)                                                                                         \
    METHOD(cordon_host)                                                                                      \
    METHOD(drain_host)                                                                                       \
    METHOD(certify_death)

#define DECLARE(name) extern const struct method name##_method;
METHODS(DECLARE)

#define POINTER(name) &name##_method,
static const struct method *const methods[] = {METHODS(POINTER) NULL};

const struct method *method_at(size_t i)
{
    return methods[i];
}

const struct method *method_find(const char *name)
{
    for (size_t i = 0; methods[i] != NULL; i++)
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
    return NULL;
}
