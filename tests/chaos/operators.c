/* See operators.h. One call at a time for each host: what it was last told is what it was acknowledged, or
 * not known. */
#include "operators.h"

#include <pthread.h>
#include <stdio.h>

#include "call.h"
#include "chaos.h"
#include "clock.h"
#include "fermata/v1/hosts.pb-c.h"

#define CALL_MS 3000
#define AGAIN_MS 150
#define MAX_MESSAGE (8u << 20)

struct looked_after {
    enum host_wish wanted, sent, acked;
    bool busy, unsure; /* whether what was acknowledged holds: a call ended without a definite answer */
    bool late;         /* one ever did: it may have been handled after later ones */
    bool broken;       /* the channel would hold its next attempt back */
    int64_t not_before_ms;
    struct rpc_channel *channel;
};

static struct {
    pthread_mutex_t lock;
    struct rpc_loop *loop;
    const char *target;
    struct looked_after hosts[N_HOSTS];
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

void operators_start(struct rpc_loop *l, const char *target)
{
    all.loop = l;
    all.target = target;
    for (int i = 0; i < N_HOSTS; i++)
        all.hosts[i].channel = rpc_channel_new(l, target, MAX_MESSAGE, NULL);
}

void operators_want(int host, enum host_wish wish)
{
    pthread_mutex_lock(&all.lock);
    all.hosts[host].wanted = wish;
    pthread_mutex_unlock(&all.lock);
}

/* A host that the coordinator does not know takes no work, and no mark is kept of it. On the loop's thread.
 */
static void on_done(void *user, const struct fm_err *status, struct fm_bytes reply)
{
    struct looked_after *h = user;
    (void)reply;
    pthread_mutex_lock(&all.lock);
    h->busy = false;
    h->not_before_ms = fm_now_mono_ms() + AGAIN_MS;
    if (status->code == FM_OK || (status->code == FM_NOT_FOUND && h->sent == HOST_OPEN)) {
        h->acked = h->sent;
        h->unsure = false;
    } else if (status->code == FM_NOT_FOUND) {
        h->unsure = false; /* it is not there now; perhaps later */
    } else {
        h->unsure = h->late = true;
        h->broken = status->code == FM_UNAVAILABLE;
    }
    if (status->code == FM_INVALID_ARGUMENT || status->code == FM_FAILED_PRECONDITION ||
        status->code == FM_INTERNAL || status->code == FM_DATA_LOSS)
        chaos_violation("an operator was refused: %s: %s", fm_code_name((int)status->code), status->msg);
    pthread_mutex_unlock(&all.lock);
}

static void tell(int i, struct looked_after *h)
{
    char id[16];
    snprintf(id, sizeof(id), "host%d", i);
    h->sent = h->wanted;
    h->busy = true;
    if (h->broken) {
        rpc_channel_free(h->channel);
        h->channel = rpc_channel_new(all.loop, all.target, MAX_MESSAGE, NULL);
        h->broken = false;
    }
    if (h->wanted == HOST_DRAINED) {
        Fermata__V1__DrainHostRequest r = FERMATA__V1__DRAIN_HOST_REQUEST__INIT;
        r.host_id = id;
        r.deadline_ms = CALL_MS / 3;
        call_start(h->channel, "Hosts/DrainHost", &r.base, CALL_MS, on_done, h);
    } else {
        Fermata__V1__CordonHostRequest r = FERMATA__V1__CORDON_HOST_REQUEST__INIT;
        r.host_id = id;
        r.uncordon = h->wanted == HOST_OPEN;
        call_start(h->channel, "Hosts/CordonHost", &r.base, CALL_MS, on_done, h);
    }
}

void operators_turn(void)
{
    pthread_mutex_lock(&all.lock);
    for (int i = 0; i < N_HOSTS; i++) {
        struct looked_after *h = &all.hosts[i];
        if (!h->busy && (h->unsure || h->acked != h->wanted) && fm_now_mono_ms() >= h->not_before_ms)
            tell(i, h);
    }
    pthread_mutex_unlock(&all.lock);
}

bool operators_settled(void)
{
    bool settled = true;
    pthread_mutex_lock(&all.lock);
    for (int i = 0; i < N_HOSTS; i++)
        settled = settled && !all.hosts[i].busy && !all.hosts[i].unsure &&
                  all.hosts[i].acked == all.hosts[i].wanted;
    pthread_mutex_unlock(&all.lock);
    return settled;
}

void operators_check(void)
{
    for (int i = 0; i < N_HOSTS; i++) {
        char id[16];
        Fermata__V1__GetHostRequest r = FERMATA__V1__GET_HOST_REQUEST__INIT;
        ProtobufCMessage *reply;
        struct fm_err err = {0};
        snprintf(id, sizeof(id), "host%d", i);
        r.host_id = id;
        if (call_wait(all.hosts[i].channel, "Hosts/GetHost", &r.base,
                      &fermata__v1__get_host_response__descriptor, &reply, &err) < 0) {
            chaos_violation("%s cannot be looked at: %s", id, err.msg);
            fm_err_done(&err);
            continue;
        }
        const Fermata__V1__Host *host = ((Fermata__V1__GetHostResponse *)reply)->host;
        if (host->cordoned && !all.hosts[i].late)
            chaos_violation("%s takes no work, although it was acknowledged that it is let in again", id);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
}

void operators_free(void)
{
    for (int i = 0; i < N_HOSTS; i++)
        rpc_channel_free(all.hosts[i].channel);
}
