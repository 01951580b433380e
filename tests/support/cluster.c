/* Clusters on loopback. See cluster.h. */
#define _GNU_SOURCE
#include "cluster.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "certs.h"

static char *binary(const char *name, char *out, size_t n)
{
    const char *build = getenv("BUILD_DIR");
    snprintf(out, n, "%s/%s/%s", build == NULL ? "build/debug" : build, name, name);
    return out;
}

static char *probes(char *out, size_t n)
{
    const char *build = getenv("BUILD_DIR");
    snprintf(out, n, "%s/tests/support/probe_hostd", build == NULL ? "build/debug" : build);
    return out;
}

/* Everything, so that a failed test can be understood; a bench wants less. */
static const char *log_level(void)
{
    const char *level = getenv("FERMATA_TEST_LOG");
    return level == NULL ? "debug" : level;
}

/* For a test that runs with TLS: once for all its clusters. */
static void make_certs(void)
{
    static char dir[] = "/tmp/fermata-certs-XXXXXX";
    static bool made;
    if (made || !certs_wanted())
        return;
    assert_non_null(mkdtemp(dir));
    certs_make(dir);
    made = true;
}

void cluster_init(struct cluster *c)
{
    memset(c, 0, sizeof(*c));
    make_certs();
    cluster_lease(c, 300);
    c->heartbeat = "300ms";
    snprintf(c->dir, sizeof(c->dir), "/tmp/fermata-test-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    snprintf(c->data, sizeof(c->data), "%s/data", c->dir);
    snprintf(c->address, sizeof(c->address), "127.0.0.1:0");
}

void cluster_lease(struct cluster *c, int seconds)
{
    snprintf(c->lease, sizeof(c->lease), "%s", test_seconds(seconds));
}

static bool has_option(const char *const more[], const char *option)
{
    for (size_t i = 0; more != NULL && more[i] != NULL; i++)
        if (strcmp(more[i], option) == 0)
            return true;
    return false;
}

/* Where the test does not say it itself. */
static size_t put_tls(const char **argv, size_t n, const char *ca_option, const char *name,
                      const char *const more[])
{
    char cert[64], key[64];
    if (!certs_wanted())
        return n;
    snprintf(cert, sizeof(cert), "%s.pem", name);
    snprintf(key, sizeof(key), "%s.key", name);
    const char *args[] = {ca_option,        certs_file("ca.pem"), "--tls-cert",
                          certs_file(cert), "--tls-key",          certs_file(key)};
    for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i += 2)
        if (!has_option(more, args[i])) {
            argv[n++] = args[i];
            argv[n++] = args[i + 1];
        }
    return n;
}

static void add_args(const char **argv, size_t n, const char *const more[])
{
    for (size_t i = 0; more != NULL && more[i] != NULL; i++)
        argv[n++] = more[i];
    argv[n] = NULL;
}

void cluster_coordinator(struct cluster *c, const char *const more[])
{
    char path[512], err[256];
    const char *argv[40] = {binary("coordinator", path, sizeof(path)),
                            "--listen",
                            c->address,
                            "--data",
                            c->data,
                            "--lease",
                            c->lease,
                            "--heartbeat",
                            c->heartbeat,
                            "--log-level",
                            log_level()};
    snprintf(err, sizeof(err), "%s/coordinator.log", c->dir);
    add_args(argv, put_tls(argv, 11, "--tls-client-ca", "coordinator", more), more);
    proc_start(&c->coordinator, err, argv);
    const char *want = "listening on ";
    assert_memory_equal(c->coordinator.line, want, strlen(want));
    snprintf(c->address, sizeof(c->address), "%.60s", c->coordinator.line + strlen(want));
}

void cluster_host(struct cluster *c, int i, const char *id, const char *const more[])
{
    char path[512], err[256], want[128], name[48];
    size_t n = 7;
    const char *argv[40] = {c->probes ? probes(path, sizeof(path)) : binary("hostd", path, sizeof(path)),
                            "--coordinator",
                            c->address,
                            "--id",
                            id,
                            "--log-level",
                            log_level()};
    snprintf(err, sizeof(err), "%s/host%d.log", c->dir, i);
    if (c->alone)
        argv[n++] = "--no-supervisor";
    snprintf(name, sizeof(name), "host-%.32s", id);
    add_args(argv, put_tls(argv, n, "--tls-ca", name, more), more);
    proc_start(&c->hosts[i], err, argv);
    snprintf(want, sizeof(want), "attached to %s as %s", c->address, id);
    assert_string_equal(c->hosts[i].line, want);
}

static void start_all(struct cluster *c, int n)
{
    static const char *const ids[MAX_HOSTS] = {"a", "b", "c", "d"};
    cluster_coordinator(c, NULL);
    for (int i = 0; i < n; i++) {
        char label[16];
        snprintf(label, sizeof(label), "zone=%s", ids[i]);
        const char *more[] = {"--label", label, NULL};
        cluster_host(c, i, ids[i], more);
    }
}

void cluster_start(struct cluster *c, int n)
{
    cluster_init(c);
    start_all(c, n);
}

void cluster_wait_log(struct cluster *c, const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", c->dir, file);
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        char *log = file_text(path);
        bool found = strstr(log, text) != NULL;
        free(log);
        if (found)
            return;
        test_pause(until, text);
    }
}

void cluster_incarnation(struct cluster *c, const char *host, char ret[64])
{
    char path[256], line[128];
    snprintf(path, sizeof(path), "%s/coordinator.log", c->dir);
    snprintf(line, sizeof(line), "host attached host=%.64s ", host);
    char *log = file_text(path);
    ret[0] = '\0';
    for (const char *at = log; (at = strstr(at, line)) != NULL; at++) {
        const char *found = strstr(at, "incarnation=");
        if (found != NULL)
            (void)sscanf(found, "incarnation=%63[^ \n]", ret);
    }
    free(log);
}

void cluster_wait_attached(struct cluster *c, const char *host, const char *not_incarnation)
{
    char incarnation[64];
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *hosts = rpc(c->address, "Hosts/ListHosts", "{}");
        bool ok = false;
        size_t i;
        json_t *h;
        json_array_foreach(json_at(hosts, "hosts"), i, h)
        {
            if (strcmp(at(h, "hostId"), host) == 0 && strcmp(at(h, "status"), "HOST_STATUS_ATTACHED") == 0)
                ok = true;
        }
        json_decref(hosts);
        cluster_incarnation(c, host, incarnation);
        if (ok && strcmp(incarnation, not_incarnation) != 0)
            return;
        test_pause(until, "the host is attached under a new incarnation");
    }
}

int cluster_host_index(const char *id)
{
    return id[0] - 'a';
}

void cluster_start_alone(struct cluster *c, int n)
{
    cluster_init(c);
    c->alone = true;
    start_all(c, n);
}

void cluster_start_probes(struct cluster *c, int n)
{
    cluster_init(c);
    c->probes = true;
    start_all(c, n);
}

const char *cluster_file(struct cluster *c, const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", c->dir, name);
    return path;
}

void cluster_open_gate(struct cluster *c, const char *name)
{
    FILE *f = fopen(cluster_file(c, name), "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

size_t cluster_lines(struct cluster *c, const char *name)
{
    FILE *f = fopen(cluster_file(c, name), "r");
    size_t n = 0;
    if (f == NULL)
        return 0;
    for (int ch; (ch = fgetc(f)) != EOF;)
        n += ch == '\n';
    (void)fclose(f);
    return n;
}

const char *submit_inline(struct cluster *c, const char *flow, const char *data)
{
    static char ids[64][32];
    static int next;
    json_t *r = rpc(c->address, "Jobs/SubmitJob",
                    "{'inline_flow':%s,'entry':{'routine':'a','slot':'in'},'data':%s}", flow, data);
    char *id = ids[next++ % 64];
    snprintf(id, sizeof(ids[0]), "%s", at(r, "jobId"));
    json_decref(r);
    return id;
}

const char *submit_flow(struct cluster *c, const char *data, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *flow = json_vformat(fmt, ap);
    va_end(ap);
    const char *job = submit_inline(c, flow, data);
    free(flow);
    return job;
}

const char *submit_gates(struct cluster *c, int steps)
{
    json_t *routines = json_array(), *connections = json_array();
    assert_in_range(steps, 1, 4);
    for (int i = 0; i < steps; i++) {
        char gate[16], id[] = {(char)('a' + i), '\0'}, next[] = {(char)('b' + i), '\0'};
        snprintf(gate, sizeof(gate), "gate%d", i + 1);
        json_array_append_new(routines,
                              json_pack("{s:s, s:s, s:{s:{s:[{s:s}, {s:s}]}}}", "id", id, "type", "probe",
                                        "config", "do", "in", "gate", cluster_file(c, gate), "emit", "out"));
        if (i + 1 < steps)
            json_array_append_new(connections,
                                  json_pack("{s:{s:s, s:s}, s:{s:s, s:s}}", "from", "routine", id, "event",
                                            "out", "to", "routine", next, "slot", "in"));
    }
    json_t *flow = json_pack("{s:o, s:o}", "routines", routines, "connections", connections);
    char *text = json_dumps(flow, JSON_COMPACT);
    const char *job = submit_inline(c, text, "{}");
    free(text);
    json_decref(flow);
    return job;
}

const char *submit_loop(struct cluster *c)
{
    return submit_inline(c,
                         "{'routines':[{'id':'a','type':'probe',"
                         "'config':{'do':{'in':[{'wait':50},{'count_shared':'n'},{'emit':'next'}]}}}],"
                         "'connections':[{'from':{'routine':'a','event':'next'},"
                         "'to':{'routine':'a','slot':'in'}}]}",
                         "{}");
}

void cluster_wait_stopping(struct cluster *c, int i)
{
    char log[32];
    snprintf(log, sizeof(log), "host%d.log", i);
    cluster_wait_log(c, log, "stopping");
}

char *large_data(size_t bytes)
{
    char *data = malloc(bytes + 16);
    assert_non_null(data);
    memcpy(data, "{'x':'", 6);
    memset(data + 6, 'x', bytes);
    memcpy(data + 6 + bytes, "'}", 3);
    return data;
}

void cluster_done(struct cluster *c)
{
    for (int i = 0; i < MAX_HOSTS; i++)
        proc_stop(&c->hosts[i]);
    proc_stop(&c->coordinator);
    const char *argv[] = {"rm", "-rf", c->dir, NULL};
    char *out, *err;
    assert_int_equal(proc_run(argv, NULL, &out, &err), 0);
    free(out);
    free(err);
}

void put_trip(struct cluster *c, const char *settings)
{
    json_decref(rpc(c->address, "Flows/PutFlow",
                    "{'flow':{'name':'trip','routines':[{'id':'agent','type':'llm_agent',"
                    "'config':{'provider':'mock'%s%s}}]}}",
                    settings[0] != '\0' ? "," : "", settings));
}

const char *submit_trip(struct cluster *c, const char *task)
{
    static char ids[8][32];
    static unsigned next;
    json_t *j =
        rpc(c->address, "Jobs/SubmitJob",
            "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},'data':{'task':'%s'}}", task);
    char *id = ids[next++ % 8];
    snprintf(id, sizeof(ids[0]), "%.30s", at(j, "jobId"));
    json_decref(j);
    assert_int_equal(strlen(id), 26);
    return id;
}

json_t *wait_status(struct cluster *c, const char *job, const char *status)
{
    char want[64];
    snprintf(want, sizeof(want), "JOB_STATUS_%s", status);
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *j = rpc(c->address, "Jobs/GetJob", "{'job_id':'%s'}", job);
        const char *have = at(j, "job.status");
        if (strcmp(have, want) == 0)
            return j;
        bool ended = strcmp(have, "JOB_STATUS_COMPLETED") == 0 || strcmp(have, "JOB_STATUS_FAILED") == 0 ||
                     strcmp(have, "JOB_STATUS_CANCELLED") == 0;
        if (ended) {
            char *text = json_dumps(j, JSON_INDENT(1));
            fail_msg("the job should become %s, but: %s", want, text);
        }
        json_decref(j);
        test_pause(until, want);
    }
}
