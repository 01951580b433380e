/* A server and a client in this process. See server_fixture.h. */
#include "server_fixture.h"

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agreed.h"
#include "log.h"
#include "mem.h"
#include "size_limits.h"
#include "slow.h"
#include "store_open.h"

static void wait_change(struct fixture *f)
{
    struct timespec until;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += DEADLINE_MS / 1000;
    if (pthread_cond_timedwait(&f->changed, &f->lock, &until) == ETIMEDOUT)
        fm_abort("a test waited in vain");
}

/* ---- the server ---- */

static void on_recovered(void *arg)
{
    struct fixture *f = arg;
    struct fm_err err = {0};
    int port;
    if (rpc_server_listen(f->server, "127.0.0.1:0", &port, &err) < 0)
        fm_abort(err.msg);
    rpc_server_start(f->server);
    pthread_mutex_lock(&f->lock);
    f->port = port;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void *run_loop(void *loop)
{
    rpc_loop_run(loop);
    return NULL;
}

static void begin(void *arg)
{
    server_start(&((struct fixture *)arg)->coordinator);
}

static void on_down(void *arg)
{
    rpc_loop_stop(((struct fixture *)arg)->loop);
}

static void on_quiet(void *arg)
{
    rpc_server_shutdown(((struct fixture *)arg)->server, DEADLINE_MS, on_down, arg);
}

static void begin_stop(void *arg)
{
    server_stop(&((struct fixture *)arg)->coordinator, DEADLINE_MS, on_quiet);
}

static void stop_client(void *arg)
{
    rpc_loop_stop(((struct fixture *)arg)->client_loop);
}

int fixture_setup(void **state)
{
    struct fixture *f = fm_xcalloc(1, sizeof(*f));
    struct fm_err err = {0};
    strcpy(f->dir, "/tmp/fermata-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(fm_log_set_levels("off", &err), 0);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    rpc_global_init();
    f->loop = rpc_loop_new();
    f->client_loop = rpc_loop_new();
    const struct store_events events = {server_store_notify, &f->coordinator};
    f->store = store_open(f->dir, &events, &err);
    assert_non_null(f->store);
    struct rpc_server_config server = {.max_message_bytes = FM_MAX_FROM_HOST_BYTES};
    f->server = rpc_server_new(f->loop, &server);
    struct core_config core = {.lease_ms = 10000, .heartbeat_ms = 2000, .pause_grace_ms = 1000, .seed = 1};
    server_init(&f->coordinator, f->loop, f->server, f->store, &core, on_recovered, f);
    assert_true(rpc_loop_post(f->loop, begin, f));
    assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
    assert_int_equal(pthread_create(&f->client_thread, NULL, run_loop, f->client_loop), 0);
    pthread_mutex_lock(&f->lock);
    while (f->port == 0)
        wait_change(f);
    pthread_mutex_unlock(&f->lock);
    char target[32];
    snprintf(target, sizeof(target), "127.0.0.1:%d", f->port);
    f->channel = rpc_channel_new(f->client_loop, target, FM_MAX_FROM_HOST_BYTES, NULL);
    *state = f;
    return 0;
}

void fixture_stop(struct fixture *f)
{
    assert_true(rpc_loop_post(f->loop, begin_stop, f));
    pthread_join(f->thread, NULL);
    f->port = 0;
}

static void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char file[512];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        assert_int_equal(unlink(file), 0);
    }
    closedir(d);
    assert_int_equal(rmdir(path), 0);
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->port != 0)
        fixture_stop(f);
    store_close(f->store);
    server_done(&f->coordinator);
    rpc_server_free(f->server);
    rpc_loop_free(f->loop);
    rpc_channel_free(f->channel);
    assert_true(rpc_loop_post(f->client_loop, stop_client, f));
    pthread_join(f->client_thread, NULL);
    rpc_loop_free(f->client_loop);
    rpc_global_shutdown();
    remove_dir(f->dir);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    free(f);
    return 0;
}

/* ---- the client ---- */

static void on_message(struct rpc_stream *s, void *user, struct fm_bytes message)
{
    struct client_call *c = user;
    (void)s;
    pthread_mutex_lock(&c->f->lock);
    if (c->n_messages == sizeof(c->messages) / sizeof(c->messages[0]))
        fm_abort("a call got more messages than the test can hold");
    fm_buf_append(&c->messages[c->n_messages++], message.p, message.n);
    pthread_cond_signal(&c->f->changed);
    pthread_mutex_unlock(&c->f->lock);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    struct client_call *c = user;
    (void)s;
    pthread_mutex_lock(&c->f->lock);
    fm_err_copy(&c->status, status);
    fm_buf_append(&c->details, details.p, details.n);
    c->over = true;
    pthread_cond_signal(&c->f->changed);
    pthread_mutex_unlock(&c->f->lock);
}

struct client_call *client_open(struct fixture *f, const char *path)
{
    static const struct rpc_stream_events events = {on_message, on_status};
    struct client_call *c = fm_xcalloc(1, sizeof(*c));
    c->f = f;
    c->stream = rpc_stream_open(f->channel, path, 0, &events, c);
    return c;
}

void client_send(struct client_call *c, const ProtobufCMessage *m)
{
    struct fm_buf b = {0};
    fm_buf_reserve(&b, protobuf_c_message_get_packed_size(m) + 1);
    b.n = protobuf_c_message_pack(m, b.p);
    rpc_stream_send(c->stream, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

void *client_message(struct client_call *c, size_t n, const ProtobufCMessageDescriptor *d)
{
    pthread_mutex_lock(&c->f->lock);
    while (c->n_messages <= n && !c->over)
        wait_change(c->f);
    assert_true(c->n_messages > n);
    void *m = protobuf_c_message_unpack(d, NULL, c->messages[n].n, c->messages[n].p);
    pthread_mutex_unlock(&c->f->lock);
    assert_non_null(m);
    return m;
}

bool client_is_over(struct client_call *c)
{
    pthread_mutex_lock(&c->f->lock);
    bool over = c->over;
    pthread_mutex_unlock(&c->f->lock);
    return over;
}

int client_status(struct client_call *c)
{
    pthread_mutex_lock(&c->f->lock);
    while (!c->over)
        wait_change(c->f);
    pthread_mutex_unlock(&c->f->lock);
    return (int)c->status.code;
}

void client_free(struct client_call *c)
{
    rpc_stream_cancel(c->stream);
    (void)client_status(c);
    rpc_stream_unref(c->stream);
    for (size_t i = 0; i < c->n_messages; i++)
        fm_buf_done(&c->messages[i]);
    fm_buf_done(&c->details);
    fm_err_done(&c->status);
    free(c);
}

struct client_call *client_call_bytes(struct fixture *f, const char *path, struct fm_bytes message)
{
    struct client_call *c = client_open(f, path);
    rpc_stream_send(c->stream, message);
    rpc_stream_close_send(c->stream);
    return c;
}

struct client_call *client_call(struct fixture *f, const char *path, const ProtobufCMessage *m)
{
    struct client_call *c = client_open(f, path);
    client_send(c, m);
    rpc_stream_close_send(c->stream);
    return c;
}

/* ---- details of errors ---- */

Google__Rpc__Status *unpack_details(const struct fm_buf *details)
{
    Google__Rpc__Status *s = google__rpc__status__unpack(NULL, details->n, details->p);
    assert_non_null(s);
    return s;
}

const Google__Protobuf__Any *find_detail(const Google__Rpc__Status *s, const char *type)
{
    for (size_t i = 0; i < s->n_details; i++)
        if (strcmp(s->details[i]->type_url, type) == 0)
            return s->details[i];
    return NULL;
}

Google__Rpc__BadRequest *bad_request_of(const Google__Rpc__Status *s)
{
    const Google__Protobuf__Any *a = find_detail(s, "type.googleapis.com/google.rpc.BadRequest");
    return a == NULL ? NULL : google__rpc__bad_request__unpack(NULL, a->value.len, a->value.data);
}

Google__Rpc__ErrorInfo *error_info_of(const Google__Rpc__Status *s)
{
    const Google__Protobuf__Any *a = find_detail(s, "type.googleapis.com/google.rpc.ErrorInfo");
    return a == NULL ? NULL : google__rpc__error_info__unpack(NULL, a->value.len, a->value.data);
}

void assert_failed(struct client_call *c, enum fm_code code, const char *field)
{
    assert_int_equal(client_status(c), code);
    Google__Rpc__Status *s = unpack_details(&c->details);
    assert_int_equal(s->code, code);
    assert_string_equal(s->message, c->status.msg);
    Google__Rpc__ErrorInfo *info = error_info_of(s);
    assert_non_null(info);
    assert_string_equal(info->reason, fm_code_name((int)code));
    assert_string_equal(info->domain, "fermata.dev");
    Google__Rpc__BadRequest *bad = bad_request_of(s);
    if (field[0] == '\0') {
        assert_null(bad);
    } else {
        assert_non_null(bad);
        assert_int_equal(bad->n_field_violations, 1);
        assert_string_equal(bad->field_violations[0]->field, field);
        google__rpc__bad_request__free_unpacked(bad, NULL);
    }
    google__rpc__error_info__free_unpacked(info, NULL);
    google__rpc__status__free_unpacked(s, NULL);
}
