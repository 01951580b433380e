/* The server: accepts calls and finds their method. What becomes of a call is in rpc_call.c, who
 * may connect in rpc_conn.c. All on the loop's thread. See rpc.h. */
#include "rpc.h"

#include <stdio.h>
#include <string.h>

#include <utlist.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "rpc_call.h"
#include "rpc_conn.h"
#include "rpc_frames.h"
#include "rpc_loop.h"
#include "tls_context.h"

#define ACCEPTS 64
#define KEEPALIVE_MS 20000
#define KEEPALIVE_TIMEOUT_MS 10000
#define UNKNOWN_WAIT_MS 1000
#define CONNECTIONS 16384

struct accept {
    struct rpc_tag tag;
    struct rpc_server *server;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

/* A call of a method that does not exist, until its client has sent a message. */
struct unknown {
    struct unknown *prev, *next;
    struct rpc_server *server;
    struct rpc_call *call;
    int64_t answer_at_ms;
    char text[256];
};

struct entry {
    const struct rpc_method *method;
    void *service;
};

struct rpc_server {
    struct rpc_loop *loop;
    grpc_server *server;
    struct rpc_conns *conns;
    struct entry *entries; /* by path */
    size_t n_entries;
    struct accept accepts[ACCEPTS];
    struct rpc_calls calls;
    bool stopping, down;
    struct rpc_tag down_tag;
    struct rpc_timer grace;
    struct unknown *unknowns; /* those that came first are first */
    struct rpc_timer unknown_timer;
    void (*done)(void *arg);
    void *done_arg;
};

/* ---- methods ---- */

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->method->path, ((const struct entry *)b)->method->path);
}

void rpc_server_add(struct rpc_server *s, const struct rpc_method *methods, size_t n, void *service)
{
    s->entries = fm_xrealloc(s->entries, (s->n_entries + n) * sizeof(*s->entries));
    for (size_t i = 0; i < n; i++)
        s->entries[s->n_entries++] = (struct entry){&methods[i], service};
    qsort(s->entries, s->n_entries, sizeof(*s->entries), compare_entries);
}

/* A path may have any bytes, and is not terminated. */
static int compare_path(grpc_slice path, const char *have)
{
    size_t n = GRPC_SLICE_LENGTH(path), n_have = strlen(have);
    int c = memcmp(GRPC_SLICE_START_PTR(path), have, n < n_have ? n : n_have);
    return c != 0 ? c : (n > n_have) - (n < n_have);
}

static const struct entry *find_method(const struct rpc_server *s, grpc_slice path)
{
    size_t lo = 0, hi = s->n_entries;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = compare_path(path, s->entries[mid].method->path);
        if (c == 0)
            return &s->entries[mid];
        if (c > 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* ---- accepting ---- */

/* A method that does not exist is refused when the client's message (or its half-close) is
 * there: behind the status of a call whose client still sends comes a reset, for which some
 * clients drop the status. A client that sends nothing, since it waits for the server's first
 * message, is refused after a second. */
static void refuse_unknown(struct rpc_call *c, void *user)
{
    rpc_call_fail(c, FM_UNIMPLEMENTED, ((struct unknown *)user)->text);
}

static void on_unknown_message(struct rpc_call *c, void *user, struct fm_bytes message)
{
    (void)message;
    refuse_unknown(c, user);
}

static void on_unknown_closed(struct rpc_call *c, void *user)
{
    struct unknown *u = user;
    (void)c;
    DL_DELETE(u->server->unknowns, u);
    free(u);
}

static void on_unknown_timer(void *arg)
{
    struct rpc_server *s = arg;
    struct unknown *u;
    int64_t now_ms = fm_now_mono_ms();
    DL_FOREACH (s->unknowns, u) {
        if (u->answer_at_ms > now_ms) {
            rpc_timer_start(s->loop, &s->unknown_timer, u->answer_at_ms, on_unknown_timer, s);
            return;
        }
        refuse_unknown(u->call, u);
    }
}

static const struct rpc_method unknown_method = {"", RPC_BIDI, NULL, NULL, 0};

/* The path as the error shows it: bytes that are not printable ASCII as ?, cut where the text is full. */
static void say_unknown(grpc_slice path, char *out, size_t size)
{
    const uint8_t *p = GRPC_SLICE_START_PTR(path);
    int at = snprintf(out, size, "there is no method ");
    size_t n = (size_t)at;
    for (size_t i = 0; i < GRPC_SLICE_LENGTH(path) && n + 1 < size; i++)
        out[n++] = p[i] >= ' ' && p[i] <= '~' ? (char)p[i] : '?';
    out[n] = '\0';
}

static void begin_unknown(struct rpc_server *s, struct rpc_call *c, grpc_slice path)
{
    static const struct rpc_call_events events = {
        .on_message = on_unknown_message, .on_half_close = refuse_unknown, .on_close = on_unknown_closed};
    struct unknown *u = fm_xcalloc(1, sizeof(*u));
    u->server = s;
    u->call = c;
    u->answer_at_ms = fm_now_mono_ms() + UNKNOWN_WAIT_MS;
    say_unknown(path, u->text, sizeof(u->text));
    rpc_call_events(c, &events, u, 0);
    DL_APPEND(s->unknowns, u);
    if (!s->unknown_timer.armed)
        rpc_timer_start(s->loop, &s->unknown_timer, u->answer_at_ms, on_unknown_timer, s);
    rpc_call_begin(c, &unknown_method, NULL);
}

static void begin_call(struct rpc_server *s, struct accept *a)
{
    struct rpc_call *c = rpc_call_new(&s->calls, a->call);
    const struct entry *e = find_method(s, a->details.method);
    if (e == NULL)
        begin_unknown(s, c, a->details.method);
    else
        rpc_call_begin(c, e->method, e->service);
}

static void arm(struct accept *a)
{
    grpc_call_details_init(&a->details);
    grpc_metadata_array_init(&a->metadata);
    a->call = NULL;
    grpc_completion_queue *q = rpc_loop_queue(a->server->loop);
    rpc_must(grpc_server_request_call(a->server->server, &a->call, &a->details, &a->metadata, q, q, &a->tag),
             "accept");
}

static void on_accepted(struct rpc_tag *tag, bool ok)
{
    struct accept *a = tag->owner;
    struct rpc_server *s = a->server;
    if (ok)
        begin_call(s, a);
    grpc_call_details_destroy(&a->details);
    grpc_metadata_array_destroy(&a->metadata);
    if (ok && !s->stopping)
        arm(a);
}

/* ---- life ---- */

static void maybe_down(struct rpc_server *s)
{
    if (s->down && s->calls.n == 0 && s->done != NULL) {
        void (*done)(void *) = s->done;
        s->done = NULL;
        done(s->done_arg);
    }
}

static void on_call_gone(struct rpc_calls *all)
{
    maybe_down((struct rpc_server *)(void *)((char *)all - offsetof(struct rpc_server, calls)));
}

struct rpc_server *rpc_server_new(struct rpc_loop *l, const struct rpc_server_config *cfg)
{
    int keepalive = cfg->keepalive_ms > 0 ? cfg->keepalive_ms : KEEPALIVE_MS;
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         .value.integer = (int)cfg->max_message_bytes                                                       },
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_ALLOW_REUSEPORT,    .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_TIME_MS,
         .value.integer = keepalive                                                                         },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
         .value.integer = KEEPALIVE_TIMEOUT_MS                                                              },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS,
         .value.integer = 1                                                                                 },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA,
         .value.integer = 0                                                                                 },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
         .value.integer = 5000                                                                              },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
         .value.integer = RPC_COMPRESSION                                                                   },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION,
         .value.integer = 0                                                                                 },
        {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_CHANNELZ,    .value.integer = 0},
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_METADATA_SIZE,
         .value.integer = RPC_MAX_METADATA                                                                  },
        {.type = GRPC_ARG_INTEGER,
         .key = (char *)(uintptr_t)GRPC_ARG_MAX_CONCURRENT_STREAMS,
         .value.integer = RPC_FRAMES_STREAMS                                                                },
    };
    grpc_channel_args channel_args = {sizeof(args) / sizeof(args[0]), args};
    struct rpc_server *s = fm_xcalloc(1, sizeof(*s));
    s->loop = l;
    s->server = grpc_server_create(&channel_args, NULL);
    grpc_server_register_completion_queue(s->server, rpc_loop_queue(l), NULL);
    s->conns = rpc_conns_new(s->server, cfg->max_connections > 0 ? cfg->max_connections : CONNECTIONS,
                             KEEPALIVE_TIMEOUT_MS);
    rpc_calls_init(&s->calls, l, s->conns, cfg, on_call_gone);
    return s;
}

int rpc_server_secure(struct rpc_server *s, const struct tls_files *files, struct fm_err *err)
{
    struct tls_context *context = tls_context_new(TLS_SERVER, files, err);
    if (context == NULL)
        return -FM_INVALID_ARGUMENT;
    rpc_conns_secure(s->conns, context);
    return 0;
}

void rpc_server_reload(struct rpc_server *s)
{
    rpc_conns_reload(s->conns);
}

int rpc_server_listen(struct rpc_server *s, const char *address, int *ret_port, struct fm_err *err)
{
    return rpc_conns_listen(s->conns, address, ret_port, err);
}

void rpc_server_start(struct rpc_server *s)
{
    grpc_server_start(s->server);
    for (size_t i = 0; i < ACCEPTS; i++) {
        s->accepts[i].tag = (struct rpc_tag){on_accepted, &s->accepts[i]};
        s->accepts[i].server = s;
        arm(&s->accepts[i]);
    }
    rpc_conns_start(s->conns);
}

static void on_down(struct rpc_tag *tag, bool ok)
{
    struct rpc_server *s = tag->owner;
    (void)ok;
    rpc_timer_stop(s->loop, &s->grace);
    rpc_timer_stop(s->loop, &s->unknown_timer);
    rpc_calls_stop(&s->calls);
    s->down = true;
    maybe_down(s);
}

static void on_grace_over(void *arg)
{
    struct rpc_server *s = arg;
    FM_LOG(INFO, RPC, "calls are cancelled at shutdown", FM_U64("calls", s->calls.n));
    grpc_server_cancel_all_calls(s->server);
}

void rpc_server_shutdown(struct rpc_server *s, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    s->stopping = true;
    rpc_conns_stop(s->conns);
    s->done = done;
    s->done_arg = arg;
    s->down_tag = (struct rpc_tag){on_down, s};
    grpc_server_shutdown_and_notify(s->server, rpc_loop_queue(s->loop), &s->down_tag);
    rpc_timer_start(s->loop, &s->grace, fm_now_mono_ms() + grace_ms, on_grace_over, s);
}

void rpc_server_free(struct rpc_server *s)
{
    rpc_calls_done(&s->calls);
    rpc_conns_stop(s->conns);
    rpc_conns_free(s->conns);
    grpc_server_destroy(s->server);
    free(s->entries);
    free(s);
}
