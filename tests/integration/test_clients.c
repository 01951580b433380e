/* What clients and the disk see of the daemons: malformed and oversized messages on the wire, health as a
 * stream, cancelling in every status; and that nothing is acknowledged before it is on disk. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <signal.h>

#include <cmocka.h>

#include "cluster.h"

/* POSTs bytes as one gRPC request over plain HTTP/2 and returns the response's headers and trailers. */
static char *post(struct cluster *c, const char *method, const void *bytes, size_t n)
{
    char body[256], data[300], headers[256], url[256], seconds[16];
    snprintf(body, sizeof(body), "%s/body", c->dir);
    snprintf(data, sizeof(data), "@%s", body);
    snprintf(headers, sizeof(headers), "%s/headers", c->dir);
    snprintf(url, sizeof(url), "http://%s/%s", c->address, method);
    snprintf(seconds, sizeof(seconds), "%d", DEADLINE_MS / 1000);
    FILE *f = fopen(body, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    const char *argv[] = {"curl",
                          "-sS",
                          "--max-time",
                          seconds,
                          "-o",
                          "/dev/null",
                          "-D",
                          headers,
                          "--http2-prior-knowledge",
                          "-H",
                          "content-type: application/grpc",
                          "-H",
                          "te: trailers",
                          "--data-binary",
                          data,
                          url,
                          NULL};
    char *out, *err;
    int code = proc_run(argv, NULL, &out, &err);
    /* 92: a server may close the stream behind its trailers before curl has said that it sends no more. */
    if (code != 0 && code != 92)
        fail_msg("curl: %s", err);
    free(out);
    free(err);
    return file_text(headers);
}

static void expect_status(char *headers, const char *status, const char *text)
{
    if (strstr(headers, status) == NULL || strstr(headers, text) == NULL)
        fail_msg("\"%s\" and \"%s\" wanted, but: %s", status, text, headers);
    free(headers);
}

static void malformed_messages_are_refused_by_name_and_harm_nobody(void **state)
{
    (void)state;
    /* The flag, the length, and bytes that are no protobuf: a field number of more than 29 bits. */
    static const unsigned char malformed[] = {0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff},
                               cut_short[] = {0, 0, 0, 0, 2, 0x0a, 0x7f};
    struct cluster c;
    cluster_start(&c, 1);
    static const char *const methods[] = {"Jobs/SubmitJob", "Jobs/WatchJob",    "Jobs/ResumeJob",
                                          "Flows/PutFlow",  "HostAgent/Attach", "Hosts/ListHosts"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char full[64];
        snprintf(full, sizeof(full), "fermata.v1.%s", methods[i]);
        expect_status(post(&c, full, malformed, sizeof(malformed)), "grpc-status: 3", "malformed");
        expect_status(post(&c, full, cut_short, sizeof(cut_short)), "grpc-status: 3", "malformed");
    }
    /* Often: the answer must never overtake the client's message. */
    for (int i = 0; i < 20; i++)
        expect_status(post(&c, "fermata.v1.Jobs/Nope", malformed, sizeof(malformed)), "grpc-status: 12",
                      "Nope");
    put_trip(&c, "");
    json_decref(wait_status(&c, submit_trip(&c, "t"), "PAUSED"));
    cluster_done(&c);
}

static void an_oversized_message_is_refused_with_size_and_limit(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    put_trip(&c, "");
    size_t n = 4500000;
    char *big = malloc(n + 1);
    assert_non_null(big);
    memset(big, 'x', n);
    big[n] = '\0';
    char *err = rpc_fails(c.address, "Jobs/SubmitJob", "ResourceExhausted",
                          "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'},"
                          "'data':{'task':'%s'}}",
                          big);
    assert_non_null(strstr(err, "4194304"));
    free(err);
    free(big);
    (void)submit_trip(&c, "t");
    cluster_done(&c);
}

static void health_can_be_watched(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    struct proc watch;
    rpc_start(&watch, cluster_file(&c, "health.log"), c.address, "grpc.health.v1.Health/Watch", "{}");
    rpc_hear(&watch, "'SERVING'");
    /* A watcher is told of the coordinator's end, and does not delay it. */
    proc_kill(&c.coordinator, SIGTERM);
    rpc_hear(&watch, "'NOT_SERVING'");
    assert_int_equal(proc_wait(&c.coordinator), 0);
    (void)proc_wait(&watch);
    cluster_done(&c);
}

static void all_services_are_listed(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    const char *args[] = {"-plaintext", c.address, "list", NULL};
    char *out = grpcurl(args);
    static const char *const services[] = {"fermata.v1.Flows\n",
                                           "fermata.v1.HostAgent\n",
                                           "fermata.v1.Hosts\n",
                                           "fermata.v1.Jobs\n",
                                           "grpc.health.v1.Health\n",
                                           "grpc.reflection.v1.ServerReflection\n",
                                           "grpc.reflection.v1alpha.ServerReflection\n"};
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        assert_non_null(strstr(out, services[i]));
    free(out);
    cluster_done(&c);
}

static void cancel(struct cluster *c, const char *job)
{
    json_t *r = rpc(c->address, "Jobs/CancelJob", "{'job_id':'%s'}", job);
    assert_string_equal(at(r, "status"), "JOB_STATUS_CANCELLED");
    json_decref(r);
    json_decref(wait_status(c, job, "CANCELLED"));
}

static void a_job_can_be_cancelled_in_every_status_and_one_that_has_ended_stays_as_it_is(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 0);
    put_trip(&c, "'delay_ms':1");
    const char *pending = submit_trip(&c, "pending");
    json_decref(wait_status(&c, pending, "PENDING"));
    cancel(&c, pending);
    cluster_host(&c, 0, "a", NULL);
    const char *paused = submit_trip(&c, "paused"), *completed = submit_trip(&c, "completed");
    json_decref(wait_status(&c, paused, "PAUSED"));
    cancel(&c, paused);
    cancel(&c, paused); /* again: nothing changes, and it is no error */
    free(rpc_fails(c.address, "Jobs/ResumeJob", "FailedPrecondition", "{'job_id':'%s','answer':1}", paused));
    json_decref(wait_status(&c, completed, "PAUSED"));
    json_decref(rpc(c.address, "Jobs/ResumeJob", "{'job_id':'%s','answer':1}", completed));
    json_decref(wait_status(&c, completed, "COMPLETED"));
    json_t *ended = rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", completed);
    assert_string_equal(at(ended, "status"), "JOB_STATUS_COMPLETED"); /* it stays as it is */
    json_t *whole = rpc(c.address, "Jobs/GetJob", "{'job_id':'%s'}", completed);
    assert_string_equal(at(ended, "stepCount"), at(whole, "job.stepCount"));
    json_decref(whole);
    json_decref(ended);
    put_trip(&c, "'delay_ms':600000");
    const char *running = submit_trip(&c, "running");
    json_decref(wait_status(&c, running, "RUNNING"));
    cancel(&c, running);
    cluster_done(&c);
}

/* The coordinator under strace, which meddles with its syncs. strace stands aside (-D), so that the child is
 * the coordinator itself. A leak cannot be looked for under a tracer. */
static void start_traced(struct cluster *c, const char *inject)
{
    char path[512], err[256];
    snprintf(path, sizeof(path), "%s/coordinator/coordinator", getenv("BUILD_DIR"));
    snprintf(err, sizeof(err), "%s/coordinator.log", c->dir);
    const char *argv[] = {"strace", "-D", "-f",     "-qq",   "-o",       "/dev/null", "-e",
                          inject,   path, "--data", c->data, "--listen", c->address,  NULL};
    const char *asan = getenv("ASAN_OPTIONS");
    char kept[256];
    snprintf(kept, sizeof(kept), "%s", asan == NULL ? "" : asan);
    assert_int_equal(setenv("ASAN_OPTIONS", "exitcode=67:detect_leaks=0", 1), 0);
    proc_start(&c->coordinator, err, argv);
    assert_int_equal(setenv("ASAN_OPTIONS", kept, 1), 0);
    static const char want[] = "listening on ";
    assert_memory_equal(c->coordinator.line, want, strlen(want));
    snprintf(c->address, sizeof(c->address), "%.60s", c->coordinator.line + strlen(want));
}

static void no_reply_comes_before_the_sync_has_ended(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    cluster_coordinator(&c, NULL);
    put_trip(&c, "");
    proc_stop(&c.coordinator);
    start_traced(&c, "inject=fdatasync:delay_enter=400000");
    /* Each of these calls must have waited for a sync; a sync cannot take less than the delay. */
    long long start = test_now_ms();
    const char *job = submit_trip(&c, "t");
    assert_true(test_now_ms() - start >= 400);
    start = test_now_ms();
    json_decref(rpc(c.address, "Jobs/CancelJob", "{'job_id':'%s'}", job));
    assert_true(test_now_ms() - start >= 400);
    proc_kill9(&c.coordinator);
    cluster_done(&c);
}

static void a_submit_whose_sync_fails_is_not_acknowledged(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    cluster_coordinator(&c, NULL);
    put_trip(&c, "");
    const char *kept = submit_trip(&c, "kept");
    proc_stop(&c.coordinator);
    start_traced(&c, "inject=fdatasync:error=EIO");
    struct proc submit;
    rpc_start(&submit, cluster_file(&c, "submit.log"), c.address, "Jobs/SubmitJob",
              "{'flow':'trip','entry':{'routine':'agent','slot':'trigger'}}");
    while (proc_line(&submit))
        assert_null(strstr(submit.line, "jobId"));
    assert_int_not_equal(proc_wait(&submit), 0);
    if (c.coordinator.pid != 0)
        proc_kill9(&c.coordinator);
    cluster_coordinator(&c, NULL);
    json_decref(wait_status(&c, kept, "PENDING"));
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_messages_are_refused_by_name_and_harm_nobody),
        cmocka_unit_test(an_oversized_message_is_refused_with_size_and_limit),
        cmocka_unit_test(health_can_be_watched),
        cmocka_unit_test(all_services_are_listed),
        cmocka_unit_test(a_job_can_be_cancelled_in_every_status_and_one_that_has_ended_stays_as_it_is),
        cmocka_unit_test(no_reply_comes_before_the_sync_has_ended),
        cmocka_unit_test(a_submit_whose_sync_fails_is_not_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
