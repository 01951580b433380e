/* Clusters on loopback. See cluster.h. */
#define _GNU_SOURCE
#include "cluster.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static char *binary(const char *name, char *out, size_t n)
{
    const char *build = getenv("BUILD_DIR");
    snprintf(out, n, "%s/%s/%s", build == NULL ? "build/debug" : build, name, name);
    return out;
}

/* Everything, so that a failed test can be understood; a bench wants less. */
static const char *log_level(void)
{
    const char *level = getenv("FERMATA_TEST_LOG");
    return level == NULL ? "debug" : level;
}

void cluster_init(struct cluster *c)
{
    memset(c, 0, sizeof(*c));
    c->lease = "2s";
    snprintf(c->dir, sizeof(c->dir), "/tmp/fermata-test-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    snprintf(c->data, sizeof(c->data), "%s/data", c->dir);
    snprintf(c->address, sizeof(c->address), "127.0.0.1:0");
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
    const char *argv[32] = {binary("coordinator", path, sizeof(path)),
                            "--listen",
                            c->address,
                            "--data",
                            c->data,
                            "--lease",
                            c->lease,
                            "--heartbeat",
                            "300ms",
                            "--log-level",
                            log_level()};
    snprintf(err, sizeof(err), "%s/coordinator.log", c->dir);
    add_args(argv, 11, more);
    proc_start(&c->coordinator, err, argv);
    const char *want = "listening on ";
    assert_memory_equal(c->coordinator.line, want, strlen(want));
    snprintf(c->address, sizeof(c->address), "%.60s", c->coordinator.line + strlen(want));
}

void cluster_host(struct cluster *c, int i, const char *id, const char *const more[])
{
    char path[512], err[256], want[128];
    const char *argv[32] = {binary("hostd", path, sizeof(path)),
                            "--coordinator",
                            c->address,
                            "--id",
                            id,
                            "--log-level",
                            log_level()};
    snprintf(err, sizeof(err), "%s/host%d.log", c->dir, i);
    add_args(argv, 7, more);
    proc_start(&c->hosts[i], err, argv);
    snprintf(want, sizeof(want), "attached to %s as %s", c->address, id);
    assert_string_equal(c->hosts[i].line, want);
}

void cluster_start(struct cluster *c, int n)
{
    static const char *const ids[MAX_HOSTS] = {"a", "b", "c", "d"};
    cluster_init(c);
    cluster_coordinator(c, NULL);
    for (int i = 0; i < n; i++) {
        char label[16];
        snprintf(label, sizeof(label), "zone=%s", ids[i]);
        const char *more[] = {"--label", label, NULL};
        cluster_host(c, i, ids[i], more);
    }
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
                    "{\"flow\":{\"name\":\"trip\",\"routines\":[{\"id\":\"agent\",\"type\":\"llm_agent\","
                    "\"config\":{\"provider\":\"mock\"%s%s}}]}}",
                    settings[0] != '\0' ? "," : "", settings));
}

const char *submit_trip(struct cluster *c, const char *task)
{
    static char ids[8][32];
    static unsigned next;
    json_t *j = rpc(c->address, "Jobs/SubmitJob",
                    "{\"flow\":\"trip\",\"entry\":{\"routine\":\"agent\",\"slot\":\"trigger\"},\"data\":{"
                    "\"task\":\"%s\"}}",
                    task);
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
        json_t *j = rpc(c->address, "Jobs/GetJob", "{\"job_id\":\"%s\"}", job);
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
