/* The main job across containers, each with its own address on a private network, from the image and the
 * compose file that users get: killed hosts, hosts cut off from the network and back, a killed coordinator.
 * Each test has a compose project of its own and takes it down. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

#define IMAGE "fermata-test"
#define N_HOSTS 3

static char project[64], override_file[128];

/* Runs a shell command that must succeed; its output for free(). */
static char *sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *sh(const char *fmt, ...)
{
    char command[2048], *out, *err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    const char *argv[] = {"bash", "-c", command, NULL};
    int code = proc_run(argv, NULL, &out, &err);
    if (code != 0)
        fail_msg("%s: %s%s", command, out, err);
    free(err);
    return out;
}

static const char *source_dir(void)
{
    const char *dir = getenv("SOURCE_DIR");
    return dir == NULL ? "." : dir;
}

/* "docker-compose" or "docker compose", whichever is there, for this test's project. */
static const char *compose(void)
{
    static char command[512];
    if (command[0] == '\0' || strstr(command, project) == NULL)
        snprintf(command, sizeof(command),
                 "export FERMATA_IMAGE=" IMAGE " FERMATA_LEASE=%s FERMATA_HEARTBEAT=500ms; C=docker-compose; "
                 "command -v docker-compose >/dev/null || C='docker compose'; "
                 "$C -p %s -f %s/deploy/compose.yaml -f %s",
                 test_seconds(10), project, source_dir(), override_file);
    return command;
}

/* The container's id. It takes seconds on a busy machine, so it is asked for before anything is under way. */
static void container(const char *service, char *out, size_t n)
{
    char *id = sh("%s ps -q %s", compose(), service);
    snprintf(out, n, "%.*s", (int)strcspn(id, "\n"), id);
    free(id);
    assert_true(out[0] != '\0');
}

static void find_address(struct cluster *c)
{
    char *port = sh("%s port coordinator 7420", compose());
    snprintf(c->address, sizeof(c->address), "127.0.0.1:%.*s", (int)strcspn(strchr(port, ':') + 1, "\n"),
             strchr(port, ':') + 1);
    free(port);
    /* The port is forwarded before the daemon listens: wait for it to serve. */
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        const char *argv[] = {grpcurl_program(),
                              "-plaintext",
                              "-max-time",
                              "5",
                              c->address,
                              "grpc.health.v1.Health/Check",
                              NULL};
        char *out, *err;
        int code = proc_run(argv, NULL, &out, &err);
        free(out);
        free(err);
        if (code == 0)
            return;
        test_pause(until, "the coordinator in its container serves");
    }
}

static void wait_hosts(struct cluster *c, size_t n)
{
    long long until = test_now_ms() + DEADLINE_MS;
    for (;;) {
        json_t *hosts = rpc(c->address, "Hosts/ListHosts", "{}"), *list = json_at(hosts, "hosts");
        size_t attached = 0;
        for (size_t i = 0; i < json_array_size(list); i++)
            attached += strcmp(at(json_array_get(list, i), "status"), "HOST_STATUS_ATTACHED") == 0;
        json_decref(hosts);
        if (attached == n)
            return;
        test_pause(until, "all hosts are attached");
    }
}

static int make_image(void **state)
{
    (void)state;
    free(sh("%s/scripts/base-image", source_dir()));
    free(sh("docker build -q -f %s/deploy/Dockerfile -t " IMAGE " %s", source_dir(), source_dir()));
    return 0;
}

static int up(void **state)
{
    static int number;
    struct cluster *c = calloc(1, sizeof(*c));
    snprintf(project, sizeof(project), "fermatatest%dx%d", (int)getpid(), number++);
    snprintf(override_file, sizeof(override_file), "/tmp/%s.yaml", project);
    FILE *f = fopen(override_file, "w");
    assert_non_null(f);
    fprintf(f, "version: \"2.4\"\nservices:\n  coordinator:\n    ports: [\"127.0.0.1::7420\"]\n");
    fclose(f);
    free(sh("%s up -d 2>&1", compose()));
    find_address(c);
    wait_hosts(c, N_HOSTS);
    *state = c;
    return 0;
}

static int down(void **state)
{
    free(sh("%s down -v -t 15 2>&1", compose()));
    unlink(override_file);
    free(*state);
    return 0;
}

static void check_steps(struct cluster *c, const char *job, size_t n)
{
    json_t *h = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_int_equal(json_array_size(json_at(h, "steps")), n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(
            json_integer_value(json_object_get(json_array_get(json_at(h, "steps"), i), "number")), i + 1);
    json_decref(h);
}

static void host_containers(char ids[N_HOSTS][80])
{
    for (int i = 0; i < N_HOSTS; i++) {
        char service[32];
        snprintf(service, sizeof(service), "host-%c", 'a' + i);
        container(service, ids[i], 80);
    }
}

/* Submits a job whose only step takes long: whatever becomes of its host does so in the middle of it. Returns
 * the index of that host. */
static int submit_long(struct cluster *c, char ret_job[32])
{
    char settings[64];
    snprintf(settings, sizeof(settings), "'ask':false,'delay_ms':%d", 15000 * test_slow());
    put_trip(c, settings);
    snprintf(ret_job, 32, "%s", submit_trip(c, "t"));
    json_t *running = wait_status(c, ret_job, "RUNNING");
    int i = cluster_host_index(at(running, "job.host"));
    json_decref(running);
    assert_in_range(i, 0, N_HOSTS - 1);
    return i;
}

/* The job ends on another host than that one. */
static json_t *wait_elsewhere(struct cluster *c, const char *job, int host)
{
    json_t *done = wait_status(c, job, "COMPLETED");
    assert_int_not_equal(cluster_host_index(at(done, "job.lastHost")), host);
    assert_string_equal(at(done, "job.epoch"), "2");
    check_steps(c, job, 1);
    return done;
}

static void resume(struct cluster *c, const char *job)
{
    json_decref(rpc(c->address, "Jobs/ResumeJob",
                    "{'job_id':'%s','answer':'Kyoto','placement':{'mode':'PLACEMENT_MODE_ANOTHER_HOST'}}",
                    job));
}

static void a_job_pauses_in_one_container_and_ends_in_another(void **state)
{
    struct cluster *c = *state;
    put_trip(c, "'delay_ms':50");
    const char *job = submit_trip(c, "Plan a trip");
    json_t *paused = wait_status(c, job, "PAUSED");
    resume(c, job);
    json_t *done = wait_status(c, job, "COMPLETED");
    assert_string_not_equal(at(paused, "job.lastHost"), at(done, "job.lastHost"));
    assert_string_equal(at(done, "job.state.routineStates.agent.messages[2].content"), "Kyoto");
    json_t *hosts = rpc(c->address, "Hosts/ListHosts", "{}");
    assert_string_not_equal(at(hosts, "hosts[0].peer"), at(hosts, "hosts[1].peer"));
    check_steps(c, job, 2);
    json_decref(hosts);
    json_decref(paused);
    json_decref(done);
}

static void the_job_of_a_killed_container_goes_on_in_another(void **state)
{
    struct cluster *c = *state;
    char ids[N_HOSTS][80], job[32];
    host_containers(ids);
    int i = submit_long(c, job);
    free(sh("docker kill %s", ids[i]));
    json_decref(wait_elsewhere(c, job, i));
}

static void a_container_cut_off_and_back_has_its_late_steps_refused(void **state)
{
    struct cluster *c = *state;
    char ids[N_HOSTS][80], job[32];
    host_containers(ids);
    int i = submit_long(c, job);
    free(sh("docker network disconnect %s_fermata %s", project, ids[i]));
    json_t *done = wait_elsewhere(c, job, i);
    free(sh("docker network connect %s_fermata %s", project, ids[i]));
    wait_hosts(c, N_HOSTS);
    check_steps(c, job, 1);
    json_t *history = rpc(c->address, "Jobs/GetHistory", "{'job_id':'%s'}", job);
    assert_string_equal(at(history, "steps[0].epoch"), "2");
    assert_string_equal(at(history, "steps[0].host"), at(done, "job.lastHost"));
    json_decref(history);
    json_decref(done);
}

static void a_killed_coordinator_container_comes_back_with_all_jobs(void **state)
{
    struct cluster *c = *state;
    put_trip(c, "'delay_ms':3000");
    char id[80];
    container("coordinator", id, sizeof(id));
    const char *paused = submit_trip(c, "paused");
    json_decref(wait_status(c, paused, "PAUSED"));
    const char *running = submit_trip(c, "running");
    json_decref(wait_status(c, running, "RUNNING"));
    free(sh("docker kill %s", id));
    free(sh("docker start %s", id));
    find_address(c);
    json_decref(wait_status(c, running, "PAUSED"));
    resume(c, paused);
    resume(c, running);
    json_decref(wait_status(c, paused, "COMPLETED"));
    json_decref(wait_status(c, running, "COMPLETED"));
    check_steps(c, paused, 2);
    check_steps(c, running, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_job_pauses_in_one_container_and_ends_in_another, up, down),
        cmocka_unit_test_setup_teardown(the_job_of_a_killed_container_goes_on_in_another, up, down),
        cmocka_unit_test_setup_teardown(a_container_cut_off_and_back_has_its_late_steps_refused, up, down),
        cmocka_unit_test_setup_teardown(a_killed_coordinator_container_comes_back_with_all_jobs, up, down),
    };
    return cmocka_run_group_tests(tests, make_image, NULL);
}
