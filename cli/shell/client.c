/* See client.h. Each call runs the loop of common/rpc until it is over. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "descriptors.h"
#include "mem.h"
#include "pb_json.h"
#include "rpc.h"

#define MAX_REPLY (64u * 1024 * 1024)

struct cli_client {
    char *address;
    struct rpc_dialer *dialer; /* NULL: plaintext */
    struct pb_pool *pool;
};

/* A call under way. */
struct call {
    struct cli_client *client;
    struct rpc_loop *loop;
    const struct pb_method *method;
    struct fm_err *err; /* the first fault; code FM_OK: none */
    bool (*on_reply)(void *arg, json_t *reply);
    void *arg;
    struct rpc_stream *stream;
    bool enough; /* ended by on_reply */
    int rc;
};

struct cli_client *cli_client_new(const char *address, const struct tls_files *tls, struct fm_err *err)
{
    struct rpc_dialer *dialer = tls == NULL ? NULL : rpc_dialer_new(tls, err);
    if (tls != NULL && dialer == NULL)
        return NULL;
    struct cli_client *c = fm_xcalloc(1, sizeof(*c));
    c->dialer = dialer;
    c->address = fm_xstrdup(address);
    return c;
}

void cli_client_free(struct cli_client *c)
{
    if (c == NULL)
        return;
    pb_pool_free(c->pool);
    rpc_dialer_free(c->dialer);
    free(c->address);
    free(c);
}

const char *cli_client_address(const struct cli_client *c)
{
    return c->address;
}

const struct pb_pool *cli_client_pool(const struct cli_client *c)
{
    struct cli_client *made = (struct cli_client *)(uintptr_t)c;
    if (c->pool == NULL)
        made->pool = pb_pool_new((struct fm_bytes){fm_descriptor_set, fm_descriptor_set_size});
    return c->pool;
}

static const struct pb_method *find_method(const struct cli_client *c, const char *name)
{
    char service[128];
    const char *slash = strchr(name, '/');
    snprintf(service, sizeof(service), "%s%.*s",
             memchr(name, '.', (size_t)(slash - name)) == NULL ? "fermata.v1." : "", (int)(slash - name),
             name);
    return pb_pool_method(cli_client_pool(c), service, slash + 1);
}

/* ---- replies ---- */

static void fail(struct call *c, const struct fm_err *err)
{
    if (c->rc == 0) {
        c->rc = -(int)err->code;
        fm_err_copy(c->err, err);
    }
}

static void on_message(struct rpc_stream *s, void *user, struct fm_bytes message)
{
    struct call *c = user;
    fm_auto(fm_buf) text = {0};
    fm_auto(fm_err) err = {0};
    json_error_t fault;
    if (c->enough || c->rc != 0)
        return;
    if (pb_json_write(cli_client_pool(c->client), c->method->output, message, &text, &err) < 0) {
        fail(c, &err);
        rpc_stream_cancel(s);
        return;
    }
    json_t *reply = json_loadb((const char *)text.p, text.n, 0, &fault);
    if (reply == NULL && json_error_code(&fault) == json_error_numeric_overflow)
        reply = json_loadb((const char *)text.p, text.n, JSON_DECODE_INT_AS_REAL, &fault);
    if (reply == NULL) {
        (void)fm_err_set(&err, FM_INTERNAL, NULL, "a reply that cannot be read: %s", fault.text);
        fail(c, &err);
        rpc_stream_cancel(s);
        return;
    }
    c->enough = !c->on_reply(c->arg, reply);
    json_decref(reply);
    if (c->enough)
        rpc_stream_cancel(s);
}

/* The fields that the error names: google.rpc.BadRequest among the details of its google.rpc.Status. */
static void add_violations(const struct cli_client *client, struct fm_bytes details, struct fm_err *err)
{
    const struct pb_message *status = pb_pool_message(cli_client_pool(client), "google.rpc.Status");
    fm_auto(fm_buf) text = {0};
    fm_auto(fm_err) ignored = {0};
    json_error_t fault;
    json_t *item, *violation;
    size_t i, k;
    if (details.n == 0 || pb_json_write(client->pool, status, details, &text, &ignored) < 0)
        return;
    json_t *j = json_loadb((const char *)text.p, text.n, 0, &fault);
    enum fm_code code = err->code;
    bool first = true;
    json_array_foreach(json_object_get(j, "details"), i, item)
    {
        json_array_foreach(json_object_get(item, "fieldViolations"), k, violation)
        {
            const char *field = json_string_value(json_object_get(violation, "field"));
            const char *why = json_string_value(json_object_get(violation, "description"));
            if (first)
                fm_err_done(err); /* the message sums up what the violations say one by one */
            first = false;
            (void)fm_err_add(err, code, field == NULL ? "" : field, "%s", why == NULL ? "" : why);
        }
    }
    json_decref(j);
}

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    struct call *c = user;
    (void)s;
    if (status->code != FM_OK && !c->enough && c->rc == 0) {
        fm_auto(fm_err) err = {0};
        fm_err_copy(&err, status);
        add_violations(c->client, details, &err);
        fail(c, &err);
    }
    rpc_loop_stop(c->loop);
}

/* ---- calls ---- */

static int encode(struct cli_client *c, const struct pb_method *m, json_t *request, struct fm_buf *wire,
                  struct fm_err *err)
{
    char *text = json_dumps(request, JSON_COMPACT);
    if (text == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "the request is not valid JSON");
    int rc = pb_json_read(cli_client_pool(c), m->input, text, strlen(text), false, wire, err);
    free(text);
    return rc;
}

int cli_stream(struct cli_client *client, const char *name, json_t *request, long timeout_ms,
               bool (*on_reply)(void *arg, json_t *reply), void *arg, struct fm_err *err)
{
    const struct pb_method *m = find_method(client, name);
    fm_auto(fm_buf) wire = {0};
    char path[256];
    if (m == NULL)
        return fm_err_set(err, FM_UNIMPLEMENTED, NULL, "%s is no method", name);
    int rc = encode(client, m, request, &wire, err);
    if (rc < 0)
        return rc;
    snprintf(path, sizeof(path), "/%s/%s", m->service, m->name);
    struct call c = {.client = client, .method = m, .err = err, .on_reply = on_reply, .arg = arg};
    struct rpc_stream_events events = {.on_message = on_message, .on_status = on_status};
    c.loop = rpc_loop_new();
    struct rpc_channel *channel = rpc_channel_new(c.loop, client->address, MAX_REPLY, client->dialer);
    c.stream = rpc_stream_request(channel, path, timeout_ms, fm_buf_bytes(&wire), &events, &c);
    rpc_loop_run(c.loop);
    rpc_stream_unref(c.stream);
    rpc_channel_free(channel);
    rpc_loop_free(c.loop);
    if (c.rc == -FM_UNAVAILABLE && strncmp(err->msg, client->address, strlen(client->address)) != 0)
        fm_err_wrap(err, "%s", client->address);
    return c.rc;
}

static bool keep(void *arg, json_t *reply)
{
    json_t **kept = arg;
    json_decref(*kept);
    *kept = json_incref(reply);
    return true;
}

int cli_call(struct cli_client *c, const char *method, json_t *request, long timeout_ms, json_t **ret,
             struct fm_err *err)
{
    json_t *reply = NULL;
    int rc = cli_stream(c, method, request, timeout_ms, keep, &reply, err);
    if (rc == 0 && reply == NULL)
        rc = fm_err_set(err, FM_INTERNAL, NULL, "%s ended without a reply", method);
    if (rc < 0) {
        json_decref(reply);
        return rc;
    }
    *ret = reply;
    return 0;
}
