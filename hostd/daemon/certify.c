/* See certify.h. Threads: after the start everything runs on gRPC's loop, which is the main thread
 * here. */
#define _GNU_SOURCE
#include "certify.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "fermata/v1/hosts.pb.h"
#include "log.h"
#include "mem.h"
#include "name.h"
#include "rpc.h"

#define CERTIFY_PATH "/fermata.v1.Hosts/CertifyDeath"
#define MAX_RESPONSE_BYTES 65536
#define CALL_MS 3000
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000
#define CHILDREN_MS 2000

/* ---- what a daemon leaves behind ---- */

static bool in_list(pid_t pid, const pid_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == pid)
            return true;
    return false;
}

/* Returns how many children there are, without those to keep. */
static size_t kill_children(const pid_t *keep, size_t n_keep)
{
    char path[64];
    size_t n = 0;
    int pid;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0; /* a kernel without it: the process group was ended all the same */
    while (fscanf(f, "%d", &pid) == 1) {
        if (in_list(pid, keep, n_keep))
            continue;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, WNOHANG);
        n++;
    }
    (void)fclose(f);
    return n;
}

int end_children(const pid_t *keep, size_t n_keep)
{
    int64_t until = fm_now_mono_ms() + CHILDREN_MS;
    while (kill_children(keep, n_keep) > 0) {
        if (fm_now_mono_ms() >= until)
            return -1;
        const struct timespec moment = {0, 1000000};
        (void)nanosleep(&moment, NULL);
    }
    return 0;
}

/* ---- what it was at work on ---- */

void certificate_add_task(struct certificate_tasks *t, const char *job, uint32_t epoch, const char *task_id,
                          const char *routine)
{
    fm_auto(fm_buf) b = {0};
    if (!fm_name_ok(job) || !fm_name_ok(task_id) ||
        !fm_name_ok(routine)) { /* whatever has ended it had written here, too */
        t->known = false;
        return;
    }
    fm_buf_put_string(&b, fermata_v1_TaskInHand_job_id_tag, job);
    fm_buf_put_tag_varint(&b, fermata_v1_TaskInHand_epoch_tag, epoch);
    fm_buf_put_string(&b, fermata_v1_TaskInHand_task_id_tag, task_id);
    fm_buf_put_string(&b, fermata_v1_TaskInHand_routine_tag, routine);
    fm_buf_put_len_delim(&t->encoded, fermata_v1_CertifyDeathRequest_in_hand_tag, b.p, b.n);
}

static void put_cause(const struct certificate *cert, struct fm_buf *out)
{
    int cause = !cert->crashed      ? fermata_v1_DeathCause_DEATH_CAUSE_ENDED
                : cert->tasks.known ? fermata_v1_DeathCause_DEATH_CAUSE_CRASHED
                                    : fermata_v1_DeathCause_DEATH_CAUSE_UNSPECIFIED;
    fm_buf_put_tag_varint(out, fermata_v1_CertifyDeathRequest_cause_tag, (uint64_t)cause);
    if (cert->crashed && cert->tasks.known)
        fm_buf_append(out, cert->tasks.encoded.p, cert->tasks.encoded.n);
}

/* ---- the call ---- */

struct certifying {
    const struct certificate *cert;
    struct rpc_loop *loop;
    struct rpc_dialer *dialer;
    struct rpc_channel *channel;
    struct rpc_stream *stream;
    struct rpc_timer retry;
    int64_t give_up_ms;
    unsigned tries;
    int code;
};

static void call_again(void *arg);

static void end(struct certifying *c, int code)
{
    c->code = code;
    rpc_loop_stop(c->loop);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    struct certifying *c = user;
    (void)details;
    rpc_stream_unref(s);
    rpc_channel_free(c->channel);
    c->tries++;
    switch ((int)status->code) {
    case FM_OK:
    case FM_NOT_FOUND: /* the coordinator does not know it (any more): nothing waits for its lease */
        FM_LOG(INFO, HOST, "the coordinator knows that the host daemon has ended",
               FM_STR("host", c->cert->host_id), FM_STR("incarnation", c->cert->incarnation),
               FM_STR("code", fm_code_name((int)status->code)), FM_U64("tries", c->tries));
        end(c, 0);
        return;
    case FM_INVALID_ARGUMENT:
    case FM_UNIMPLEMENTED:
    case FM_PERMISSION_DENIED:
    case FM_UNAUTHENTICATED:
        FM_LOG(WARN, HOST, "the coordinator does not accept the death certificate; the lease decides",
               FM_ERR(status));
        end(c, 1);
        return;
    default:
        break;
    }
    unsigned shift = c->tries < 6 ? c->tries - 1 : 5;
    int64_t wait = (int64_t)RETRY_MIN_MS << shift;
    /* FAILED_PRECONDITION: the end of the dead one's stream is still on its way. */
    if (status->code == FM_FAILED_PRECONDITION)
        wait = RETRY_MIN_MS;
    if (wait > RETRY_MAX_MS)
        wait = RETRY_MAX_MS;
    int64_t at = fm_now_mono_ms() + wait;
    if (at >= c->give_up_ms) {
        FM_LOG(WARN, HOST,
               "the coordinator could not be told that the host daemon has ended; its lease is over",
               FM_STR("host", c->cert->host_id), FM_ERR(status));
        end(c, 1);
        return;
    }
    rpc_timer_start(c->loop, &c->retry, at, call_again, c);
}

static void call_again(void *arg)
{
    static const struct rpc_stream_events events = {NULL, on_status};
    struct certifying *c = arg;
    fm_auto(fm_buf) b = {0};
    fm_buf_put_string(&b, fermata_v1_CertifyDeathRequest_host_id_tag, c->cert->host_id);
    fm_buf_put_string(&b, fermata_v1_CertifyDeathRequest_incarnation_tag, c->cert->incarnation);
    fm_buf_put_string(&b, fermata_v1_CertifyDeathRequest_how_tag, c->cert->how);
    put_cause(c->cert, &b);
    c->channel = rpc_channel_new(c->loop, c->cert->target, MAX_RESPONSE_BYTES, c->dialer);
    c->stream = rpc_stream_request(c->channel, CERTIFY_PATH, CALL_MS, fm_buf_bytes(&b), &events, c);
}

int certify_run(const struct certificate *cert)
{
    if (cert->lease_ms <= 0)
        return 0;
    struct certifying c = {.cert = cert, .give_up_ms = fm_now_mono_ms() + cert->lease_ms, .code = 1};
    fm_auto(fm_err) err = {0};
    (void)signal(SIGPIPE, SIG_IGN);
    if (cert->tls != NULL && (c.dialer = rpc_dialer_new(cert->tls, &err)) == NULL) {
        FM_LOG(WARN, HOST, "no death certificate can be sent; the lease decides", FM_ERR(&err));
        return 1;
    }
    rpc_global_init();
    c.loop = rpc_loop_new();
    (void)rpc_loop_post(c.loop, call_again, &c);
    rpc_loop_run(c.loop);
    rpc_loop_free(c.loop);
    rpc_global_shutdown();
    rpc_dialer_free(c.dialer);
    return c.code;
}
