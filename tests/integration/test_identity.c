/* Who calls, and what they may: identities from certificates, roles, who is said to have done something; the
 * authority that --init-tls makes; what needs no certificates. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "certs.h"
#include "cluster.h"
#include "rpc.h"

#define DAY 86400L

static struct cluster cluster;

static const char *build_file(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", getenv("BUILD_DIR"), name);
    return path;
}

/* ---- calls of somebody ---- */

struct asking {
    struct rpc_loop *loop;
    struct fm_err err;
};

static void on_status(struct rpc_stream *s, void *user, const struct fm_err *status, struct fm_bytes details)
{
    struct asking *a = user;
    (void)s, (void)details;
    fm_err_copy(&a->err, status);
    rpc_loop_stop(a->loop);
}

/* One call, with an empty request, as the owner of this certificate. What came of it is valid until the next
 * one. Streams are given up soon. */
static const struct fm_err *call_as(const char *client, const char *method)
{
    static const struct rpc_stream_events events = {NULL, on_status};
    static struct asking a;
    char cert[64], key[64], path[128];
    struct fm_err err = {0};
    snprintf(cert, sizeof(cert), "%s.pem", client);
    snprintf(key, sizeof(key), "%s.key", client);
    snprintf(path, sizeof(path), "/%s%s", strchr(method, '.') != NULL ? "" : "fermata.v1.", method);
    const struct tls_files files = {
        .ca = certs_file("ca.pem"), .cert = certs_file(cert), .key = certs_file(key)};
    struct rpc_dialer *dialer = rpc_dialer_new(&files, &err);
    if (dialer == NULL)
        fail_msg("%s", err.msg);
    fm_err_done(&a.err);
    a.loop = rpc_loop_new();
    struct rpc_channel *channel = rpc_channel_new(a.loop, cluster.address, 1 << 20, dialer);
    struct rpc_stream *s = rpc_stream_request(channel, path, DEADLINE_MS, FM_NO_BYTES, &events, &a);
    rpc_loop_run(a.loop);
    rpc_stream_unref(s);
    rpc_channel_free(channel);
    rpc_loop_free(a.loop);
    rpc_dialer_free(dialer);
    return &a.err;
}

static void is_denied(const char *client, const char *method, const char *why)
{
    const struct fm_err *err = call_as(client, method);
    if (err->code != FM_PERMISSION_DENIED || strstr(err->msg, why) == NULL)
        fail_msg("%s of %s: a refusal for \"%s\" wanted, but: %d %s", method, client, why, (int)err->code,
                 err->msg);
}

/* grpcurl as somebody. Returns its exit code; what it says is for free(). */
static int curl(const char *client, const char *method, const char *request, char **ret_text)
{
    char cert[64], key[64], full[128], *out, *err;
    snprintf(cert, sizeof(cert), "%s.pem", client);
    snprintf(key, sizeof(key), "%s.key", client);
    snprintf(full, sizeof(full), "fermata.v1.%s", method);
    char *json = json_text(request);
    const char *argv[] = {grpcurl_program(),
                          "-cacert",
                          certs_file("ca.pem"),
                          "-cert",
                          certs_file(cert),
                          "-key",
                          certs_file(key),
                          "-max-time",
                          "60",
                          "-d",
                          json,
                          cluster.address,
                          full,
                          NULL};
    int code = proc_run(argv, NULL, &out, &err);
    if (asprintf(ret_text, "%s%s", out, err) < 0)
        fail_msg("no memory");
    free(json);
    free(out);
    free(err);
    return code;
}

static void curl_says(const char *client, const char *method, const char *request, const char *want)
{
    char *text, *json = json_text(want);
    (void)curl(client, method, request, &text);
    if (strstr(text, json) == NULL)
        fail_msg("%s %s as %s: %s wanted, but: %s", method, request, client, json, text);
    free(json);
    free(text);
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(certs_file(name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    (void)state;
    cluster_init(&cluster);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_done(&cluster);
    return 0;
}

/* ---- roles ---- */

static const char *const roles[] = {"viewer",   "responder", "submitter", "author",
                                    "operator", "admin",     "host"};
#define N_ROLES (sizeof(roles) / sizeof(roles[0]))

/* What each role includes, besides itself. */
static bool includes(const char *role, const char *needs)
{
    static const struct {
        const char *role, *all;
    } table[] = {
        {"viewer",    "viewer"                                    },
        {"responder", "viewer responder"                          },
        {"submitter", "viewer submitter"                          },
        {"author",    "viewer submitter author"                   },
        {"operator",  "viewer responder operator"                 },
        {"admin",     "viewer responder submitter author operator"},
        {"host",      "host"                                      },
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].role, role) == 0)
            return strstr(table[i].all, needs) != NULL;
    return false;
}

static void check_method(const char *method, const char *needs)
{
    for (size_t i = 0; i < N_ROLES; i++) {
        char client[64];
        snprintf(client, sizeof(client), "%s", strcmp(roles[i], "host") == 0 ? "host-a" : roles[i]);
        const struct fm_err *err = call_as(client, method);
        bool denied = err->code == FM_PERMISSION_DENIED && strstr(err->msg, "needs the role") != NULL;
        if (denied == includes(roles[i], needs))
            fail_msg("%s (for %s) of a %s: %d %s", method, needs, roles[i], (int)err->code, err->msg);
    }
    is_denied("nobody", method, "names nobody");
    is_denied("two-names", method, "names nobody");
    is_denied("member", method, "member:one");
    is_denied("user-ann", method, "user:ann"); /* who has no line */
}

/* The table of the documentation is made from the rows of the code. */
static size_t check_all_methods(void)
{
    char path[512], method[64], what[512], kind[32], needs[32], line[1024];
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/docs/methods.md", getenv("SOURCE_DIR"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "| `%63[^`]` | %511[^|]| %31[a-z] | %31[a-z]", method, what, kind, needs) == 4) {
            check_method(method, needs);
            n++;
        }
    (void)fclose(f);
    return n;
}

static void every_method_is_for_its_roles_only(void **state)
{
    (void)state;
    char text[1024] = "# roles\n\n";
    for (size_t i = 0; i + 1 < N_ROLES; i++) {
        char san[64], line[64];
        snprintf(san, sizeof(san), "URI:spiffe://test/user/%s", roles[i]);
        snprintf(line, sizeof(line), "user:%s = %s # one\n", roles[i], roles[i]);
        strcat(text, line);
        certs_issue("ca", roles[i], san, false, -60, DAY);
    }
    certs_issue("ca", "nobody", "DNS:a.client", false, -60, DAY);
    certs_issue("ca", "two-names", "URI:spiffe://test/user/admin,URI:spiffe://test/user/viewer", false, -60,
                DAY);
    certs_issue("ca", "member", "URI:spiffe://test/member/one", false, -60, DAY);
    write_file("roles", text);
    cluster_coordinator(&cluster, (const char *[]){"--roles", certs_file("roles"), NULL});
    assert_true(check_all_methods() >= 32);
    check_method("HostAgent/Attach", "host");
    for (size_t i = 0; i + 1 < N_ROLES; i++)
        assert_int_equal(call_as(roles[i], "grpc.health.v1.Health/Check")->code, FM_OK);
    assert_int_equal(call_as("nobody", "grpc.health.v1.Health/Check")->code, FM_OK);
    assert_int_equal(call_as("host-a", "grpc.health.v1.Health/Check")->code, FM_OK);
}

/* Rights that depend on what is asked for. */
static void a_role_may_not_do_by_detour_what_it_may_not(void **state)
{
    (void)state;
    certs_issue("ca", "submits", "URI:spiffe://test/user/submits", false, -60, DAY);
    certs_issue("ca", "answers", "URI:spiffe://test/user/answers", false, -60, DAY);
    write_file("few", "user:submits=submitter\nuser:answers = responder\nuser:ann=admin\n");
    cluster_coordinator(&cluster, (const char *[]){"--roles", certs_file("few"), NULL});
    cluster_host(&cluster, 0, "a", NULL);
    put_trip(&cluster, "");
    const char *job = submit_trip(&cluster, "t");
    char request[256];
    json_decref(wait_status(&cluster, job, "PAUSED"));
    curl_says("submits", "Jobs/SubmitJob",
              "{'inline_flow':{'name':'x','routines':[{'id':'a','type':'log'}]},'entry':{'routine':'a',"
              "'slot':'in'}}",
              "an inline flow needs the role author");
    json_decref(rpc(cluster.address, "Jobs/PauseJob", "{'job_id':'%s'}", job));
    json_t *j = rpc(cluster.address, "Jobs/GetJob", "{'job_id':'%s'}", job);
    size_t i;
    json_t *p;
    json_array_foreach(json_at(j, "job.pauses"), i, p)
    {
        if (strcmp(at(p, "reason"), "PAUSE_REASON_QUESTION") == 0)
            continue;
        snprintf(request, sizeof(request), "{'job_id':'%s','pause_id':'%s'}", job, at(p, "pauseId"));
        curl_says("answers", "Jobs/ResumeJob", request, "PermissionDenied");
        snprintf(request, sizeof(request), "{'job_id':'%s','pause_id':'%s','by':'x'}", job, at(p, "pauseId"));
        curl_says("answers", "Jobs/ClaimPause", request, "PermissionDenied");
    }
    assert_int_equal(i, 2);
    json_decref(j);
}

static void a_file_of_roles_that_is_not_right_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"user:ann = admins\n",                        "line 1: \\\"admins\\\" is no role"     },
        {"\n# x\nuser:ann operator",                   "line 3: expected user:NAME = ROLE"     },
        {"user:ann =\n",                               "line 1: \\\"\\\" is no role"           },
        {"user:ann = viewer,\nuser:bob=viewer,,admin", "is no role"                            },
        {"host:a = admin\n",                           "line 1: \\\"host:a\\\": expected user:"},
        {"ann = admin\n",                              "expected user:NAME"                    },
        {"user:a b = admin\n",                         "expected user:NAME"                    },
        {"user:ann=viewer\n\nuser:ann=admin\n",        "line 3: user:ann has a line already: 1"},
        {"user:*=viewer\nuser:*=admin\n",              "line 2: user:* has a line already: 1"  },
    };
    char log[256];
    snprintf(log, sizeof(log), "%s/refused.log", cluster.dir);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char want[128] = "";
        for (const char *s = bad[i].why; *s != '\0'; s++)
            if (*s != '\\')
                strncat(want, s, 1);
        write_file("bad-roles", bad[i].text);
        const char *argv[] = {build_file("coordinator/coordinator"),
                              "--listen",
                              "127.0.0.1:0",
                              "--data",
                              cluster.data,
                              "--tls-cert",
                              certs_file("coordinator.pem"),
                              "--tls-key",
                              certs_file("coordinator.key"),
                              "--tls-client-ca",
                              certs_file("ca.pem"),
                              "--roles",
                              certs_file("bad-roles"),
                              NULL};
        char *text = proc_fails(log, 2, argv);
        if (strstr(text, want) == NULL || strstr(text, "--roles") == NULL)
            fail_msg("%s wanted, but: %s", want, text);
        free(text);
        assert_int_equal(unlink(log), 0);
    }
    /* at SIGHUP the old ones stay, then new ones hold */
    write_file("live-roles", "user:*=viewer\n");
    cluster_coordinator(&cluster, (const char *[]){"--roles", certs_file("live-roles"), NULL});
    assert_int_equal(call_as("user-ann", "Jobs/ListJobs")->code, FM_OK);
    is_denied("user-ann", "Flows/PutFlow", "needs the role author, which user:ann has not");
    write_file("live-roles", "user:ann\n");
    proc_kill(&cluster.coordinator, SIGHUP);
    cluster_wait_log(&cluster, "coordinator.log", "the roles cannot be read anew");
    assert_int_equal(call_as("user-ann", "Jobs/ListJobs")->code, FM_OK);
    write_file("live-roles", "user:bob=viewer\n");
    proc_kill(&cluster.coordinator, SIGHUP);
    long long until = test_now_ms() + DEADLINE_MS;
    while (call_as("user-ann", "Jobs/ListJobs")->code != FM_PERMISSION_DENIED)
        test_pause(until, "the new roles hold");
}

/* ---- hosts ---- */

static void a_host_is_only_itself(void **state)
{
    (void)state;
    struct proc impostor;
    char log[256], request[128], incarnation[64];
    cluster_coordinator(&cluster, NULL);
    cluster_host(&cluster, 0, "a", NULL);
    json_t *hosts = rpc(cluster.address, "Hosts/ListHosts", "{}");
    assert_string_equal(at(hosts, "hosts[0].hostId"), "a");
    assert_string_equal(at(hosts, "hosts[0].incarnation"), "");
    json_decref(hosts);
    snprintf(log, sizeof(log), "%s/impostor.log", cluster.dir);
    const char *argv[] = {build_file("hostd/hostd"),
                          "--coordinator",
                          cluster.address,
                          "--id",
                          "b",
                          "--no-supervisor",
                          "--tls-ca",
                          certs_file("ca.pem"),
                          "--tls-cert",
                          certs_file("host-a.pem"),
                          "--tls-key",
                          certs_file("host-a.key"),
                          NULL};
    proc_talk(&impostor, log, argv);
    cluster_wait_log(&cluster, "impostor.log", "the coordinator refuses this host");
    cluster_wait_log(&cluster, "impostor.log", "PERMISSION_DENIED");
    cluster_wait_log(&cluster, "impostor.log", "the certificate is of host a; it cannot attach as b");
    proc_stop(&impostor);
    cluster_incarnation(&cluster, "a", incarnation);
    assert_true(incarnation[0] != '\0');
    snprintf(request, sizeof(request), "{'host_id':'a','incarnation':'%s'}", incarnation);
    curl_says("host-b", "Hosts/CertifyDeath", request, "the certificate is of host b, not of a");
    curl_says("host-a", "Hosts/CertifyDeath", request, "FailedPrecondition"); /* it lives */
    curl_says("host-a", "Jobs/ListJobs", "{}", "PermissionDenied");
    curl_says("user-ann", "Hosts/CertifyDeath", request, "PermissionDenied");
}

/* ---- who did it ---- */

static void who_does_something_is_who_has_proved_to_be_it(void **state)
{
    (void)state;
    char id[64], request[512];
    certs_issue("ca", "user-bob", "URI:spiffe://test/user/bob", false, -60, DAY);
    cluster_coordinator(&cluster, NULL);
    cluster_host(&cluster, 0, "a", NULL);
    put_trip(&cluster, "");
    snprintf(id, sizeof(id), "%s", submit_trip(&cluster, "t"));
    json_decref(wait_status(&cluster, id, "PAUSED"));
    snprintf(request, sizeof(request), "{'job_id':'%s','by':'carol'}", id);
    curl_says("user-bob", "Jobs/ClaimPause", request, "'claimedBy': 'user:bob'");
    curl_says("user-bob", "Jobs/ListPauses", "{'claimed_by':'user:bob'}", "'claimedOnBehalfOf': 'carol'");
    snprintf(request, sizeof(request), "{'job_id':'%s','answer':'yes','answered_by':'user:bob'}", id);
    curl_says("user-ann", "Jobs/ResumeJob", request, "claimed by user:bob");
    snprintf(request, sizeof(request), "{'job_id':'%s','answer':'yes','answered_by':'carol'}", id);
    curl_says("user-bob", "Jobs/ResumeJob", request, "'pauseId'");
    json_decref(wait_status(&cluster, id, "COMPLETED"));
    snprintf(request, sizeof(request), "{'job_id':'%s'}", id);
    curl_says("user-ann", "Jobs/GetHistory", request, "'answeredBy': 'user:bob'");
    curl_says("user-ann", "Jobs/GetHistory", request, "'onBehalfOf': 'carol'");
}

/* ---- without certificates ---- */

static void no_start(const char *const argv[], const char *why)
{
    char log[256];
    snprintf(log, sizeof(log), "%s/refused.log", cluster.dir);
    char *text = proc_fails(log, 2, argv);
    if (strstr(text, why) == NULL)
        fail_msg("%s wanted, but: %s", why, text);
    free(text);
}

static void other_machines_need_certificates_or_consent(void **state)
{
    (void)state;
    const char *coordinator = build_file("coordinator/coordinator"), *hostd = build_file("hostd/hostd");
    const char *cert = certs_file("coordinator.pem"), *key = certs_file("coordinator.key");
    no_start((const char *[]){coordinator, "--listen", "0.0.0.0:0", "--data", cluster.data, NULL},
             "--insecure");
    no_start((const char *[]){coordinator, "--listen", "[::]:0", "--data", cluster.data, NULL}, "--insecure");
    no_start((const char *[]){coordinator, "--listen", "127.0.0.1:0,0.0.0.0:0", "--data", cluster.data, NULL},
             "--listen 0.0.0.0:0 lets other machines in");
    no_start((const char *[]){coordinator, "--listen", "0.0.0.0:0", "--data", cluster.data, "--tls-cert",
                              cert, "--tls-key", key, NULL},
             "give --tls-client-ca");
    no_start((const char *[]){coordinator, "--listen", "127.0.0.1:0", "--data", cluster.data, "--roles", "x",
                              NULL},
             "--tls-client-ca");
    no_start((const char *[]){hostd, "--coordinator", "192.0.2.1:7420", "--id", "a", NULL}, "--insecure");
    no_start((const char *[]){hostd, "--coordinator", "no.such.name.invalid:1", "--id", "a", NULL},
             "--insecure");
    struct proc p;
    char log[256];
    snprintf(log, sizeof(log), "%s/insecure.log", cluster.dir);
    proc_start(
        &p, log,
        (const char *[]){coordinator, "--listen", "0.0.0.0:0", "--data", cluster.data, "--insecure", NULL});
    assert_non_null(strstr(p.line, "listening on 0.0.0.0:"));
    proc_stop(&p);
}

static bool is_private(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (st.st_mode & 0777) == 0600;
}

static void a_unix_socket_is_its_users_alone(void **state)
{
    (void)state;
    char path[200], address[220], log[256], want[64];
    struct proc c, h;
    snprintf(path, sizeof(path), "%s/socket", cluster.dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    snprintf(log, sizeof(log), "%s/unix.log", cluster.dir);
    const char *argv[] = {
        build_file("coordinator/coordinator"), "--listen", address, "--data", cluster.data, NULL};
    proc_start(&c, log, argv);
    assert_true(is_private(path));
    char refused[256];
    snprintf(refused, sizeof(refused), "%s/second.log", cluster.dir);
    char data[200];
    snprintf(data, sizeof(data), "%s/second", cluster.dir);
    char *text = proc_fails(
        refused, 1,
        (const char *[]){build_file("coordinator/coordinator"), "--listen", address, "--data", data, NULL});
    assert_non_null(strstr(text, "Address already in use"));
    free(text);
    proc_kill9(&c); /* leaves the socket there */
    assert_true(is_private(path));
    proc_start(&c, log, argv);
    char hlog[256];
    snprintf(hlog, sizeof(hlog), "%s/unix-host.log", cluster.dir);
    proc_start(&h, hlog,
               (const char *[]){build_file("hostd/hostd"), "--coordinator", address, "--id", "u", NULL});
    snprintf(want, sizeof(want), "as u");
    assert_non_null(strstr(h.line, want));
    char *out, *err;
    const char *list[] = {grpcurl_program(), "-plaintext", "-unix", path, "fermata.v1.Hosts/ListHosts", NULL};
    assert_int_equal(proc_run(list, NULL, &out, &err), 0);
    snprintf(want, sizeof(want), "\"peer\": \"unix:%u\"", (unsigned)getuid());
    assert_non_null(strstr(out, want));
    free(out);
    free(err);
    proc_stop(&h);
    proc_stop(&c);
    struct stat st;
    assert_int_not_equal(stat(path, &st), 0);
    write_file("a-file", "not a socket");
    snprintf(address, sizeof(address), "unix:%s", certs_file("a-file"));
    text = proc_fails(refused, 1, argv);
    assert_non_null(strstr(text, "cannot listen"));
    free(text);
}

/* ---- three commands ---- */

static char *init_tls(const char *dir, int want, const char *const more[])
{
    const char *argv[16] = {build_file("coordinator/coordinator"), "--init-tls", dir};
    char *out, *err;
    size_t n = 3;
    for (size_t i = 0; more[i] != NULL; i++)
        argv[n++] = more[i];
    int code = proc_run(argv, NULL, &out, &err);
    if (code != want)
        fail_msg("%d: %s", code, err);
    char *text = want == 0 ? out : err;
    free(want == 0 ? err : out);
    return text;
}

static void three_commands_secure_a_cluster(void **state)
{
    (void)state;
    char dir[200], file[8][256];
    static const char *const names[] = {"ca.pem",     "coordinator.pem", "coordinator.key", "host-a.pem",
                                        "host-a.key", "user-ann.pem",    "user-ann.key",    "ca.key"};
    struct proc c, h;
    snprintf(dir, sizeof(dir), "%s/tls", cluster.dir);
    free(init_tls(dir, 0,
                  (const char *[]){"--tls-names", "box1.example,192.0.2.7", "--tls-hosts", "a,b",
                                   "--tls-users", "ann", NULL}));
    for (size_t i = 0; i < 8; i++) {
        snprintf(file[i], sizeof(file[0]), "%s/%s", dir, names[i]);
        assert_int_equal(is_private(file[i]), strstr(names[i], ".key") != NULL);
    }
    char *before = file_text(file[0]), log[256];
    char *said = init_tls(dir, 0, (const char *[]){"--tls-users", "ann,bob", NULL});
    assert_non_null(strstr(said, "user-bob"));
    assert_null(strstr(said, "user-ann"));
    free(said);
    char *after = file_text(file[0]);
    assert_string_equal(before, after);
    free(before);
    free(after);
    said = init_tls(dir, 1, (const char *[]){"--tls-hosts", "a/b", NULL});
    assert_non_null(strstr(said, "a/b"));
    free(said);
    said = init_tls(dir, 1, (const char *[]){"--tls-names", "x,DNS:evil", NULL});
    assert_non_null(strstr(said, "DNS:evil"));
    free(said);
    snprintf(log, sizeof(log), "%s/tls.log", cluster.dir);
    proc_start(&c, log,
               (const char *[]){build_file("coordinator/coordinator"), "--listen", "0.0.0.0:0", "--data",
                                cluster.data, "--tls-cert", file[1], "--tls-key", file[2], "--tls-client-ca",
                                file[0], NULL});
    char address[64], hlog[256];
    snprintf(address, sizeof(address), "localhost:%s", strrchr(c.line, ':') + 1);
    snprintf(hlog, sizeof(hlog), "%s/tls-host.log", cluster.dir);
    proc_start(&h, hlog,
               (const char *[]){build_file("hostd/hostd"), "--coordinator", address, "--id", "a", "--tls-ca",
                                file[0], "--tls-cert", file[3], "--tls-key", file[4], NULL});
    char *out, *err;
    const char *list[] = {grpcurl_program(),
                          "-cacert",
                          file[0],
                          "-cert",
                          file[5],
                          "-key",
                          file[6],
                          address,
                          "fermata.v1.Hosts/ListHosts",
                          NULL};
    assert_int_equal(proc_run(list, NULL, &out, &err), 0);
    assert_non_null(strstr(out, "\"hostId\": \"a\""));
    free(out);
    free(err);
    proc_stop(&h);
    proc_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_method_is_for_its_roles_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_role_may_not_do_by_detour_what_it_may_not, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_roles_that_is_not_right_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_host_is_only_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(who_does_something_is_who_has_proved_to_be_it, setup, teardown),
        cmocka_unit_test_setup_teardown(other_machines_need_certificates_or_consent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_unix_socket_is_its_users_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(three_commands_secure_a_cluster, setup, teardown),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(setenv("FERMATA_TEST_TLS", "1", 1), 0);
    rpc_global_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rpc_global_shutdown();
    return failed;
}
