/* Attacks on a coordinator. See attack.h. */
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "h2.h"

#define REST_MIB 120 /* between attacks */

struct cluster attacked;
char attacked_job[32];
static size_t base_files;

/* ---- what must hold ---- */

static size_t memory_mib(const char *key)
{
    char path[64], *text, *at;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)attacked.coordinator.pid);
    text = file_text(path);
    at = strstr(text, key);
    if (at == NULL)
        fail_msg("the coordinator is gone");
    size_t mib = strtoul(at + strlen(key) + 1, NULL, 10) / 1024;
    free(text);
    return mib;
}

size_t attack_open_files(void)
{
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)attacked.coordinator.pid);
    DIR *d = opendir(path);
    if (d == NULL)
        fail_msg("the coordinator is gone");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

void attack_others_are_served(void)
{
    const char *job = submit_trip(&attacked, "t");
    json_decref(wait_status(&attacked, job, "COMPLETED"));
}

/* The peak since attack_begin. */
static void memory_stays_below(size_t mib)
{
    size_t peak = memory_mib("VmHWM:");
    if (peak > mib * ATTACK_MEMORY_FACTOR)
        fail_msg("the coordinator took %zu MiB; the bound is %zu", peak, mib * ATTACK_MEMORY_FACTOR);
}

static void files_come_back(void)
{
    long long until = test_now_ms() + DEADLINE_MS;
    while (attack_open_files() > base_files + 8)
        test_pause(until, "the coordinator's file descriptors come back");
}

static void memory_comes_back(void)
{
    if (ATTACK_MEMORY_FACTOR > 1)
        return;
    long long until = test_now_ms() + 2 * DEADLINE_MS;
    while (memory_mib("VmRSS:") > REST_MIB * ATTACK_MEMORY_FACTOR)
        test_pause(until, "the coordinator gives its memory back");
}

void attack_begin(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)attacked.coordinator.pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* the peak counts from here */
    assert_int_equal(write(fd, "5", 1), 1);
    close(fd);
    base_files = attack_open_files();
}

void attack_end(const char *what, size_t mib)
{
    attack_others_are_served();
    printf("%s: %zu MiB at most\n", what, memory_mib("VmHWM:"));
    memory_stays_below(mib);
    files_come_back();
    memory_comes_back();
}

static void start(const char *const more[])
{
    cluster_init(&attacked);
    cluster_coordinator(&attacked, more);
    cluster_host(&attacked, 0, "a", NULL);
    put_trip(&attacked, "'ask':false");
    snprintf(attacked_job, sizeof(attacked_job), "%s", submit_trip(&attacked, "t"));
    json_decref(wait_status(&attacked, attacked_job, "COMPLETED"));
}

int attack_setup(void **state)
{
    (void)state;
    (void)h2_raise_files();
    start(NULL);
    return 0;
}

int attack_teardown(void **state)
{
    (void)state;
    cluster_done(&attacked);
    return 0;
}

void attack_restart(const char *const more[])
{
    cluster_done(&attacked);
    start(more);
}

int attack_own_coordinator(void **state)
{
    (void)state;
    if (TEST_SANITIZED)
        attack_restart(NULL);
    return 0;
}

void attack_close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

void attack_be_impatient(int fd)
{
    const struct timeval t = {0, 200000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)), 0);
}

/* ---- requests ---- */

size_t attack_get_job(uint8_t out[64])
{
    size_t n = strlen(attacked_job);
    out[0] = 0x0a;
    out[1] = (uint8_t)n;
    memcpy(out + 2, attacked_job, n);
    return n + 2;
}

void attack_status_is(int fd, const char *number)
{
    struct h2_block b = {0};
    char want[32];
    snprintf(want, sizeof(want), "grpc-status%c%s", (int)strlen(number), number);
    enum h2_end end = h2_wait_end(fd, 1, DEADLINE_MS, &b);
    if (end != H2_STREAM_ENDED || !h2_block_has(&b, want))
        fail_msg("status %s wanted, but the call ended by %d, headers %.*s", number, (int)end, (int)b.n,
                 (const char *)b.p);
    h2_block_free(&b);
    close(fd);
}

void attack_is_turned_away(int fd)
{
    if (h2_wait_end(fd, 1, DEADLINE_MS, NULL) == H2_NOTHING)
        fail_msg("the server keeps the connection");
    close(fd);
}

int attack_open_call(const char *path, const char *content_type)
{
    struct h2_block b = {0};
    int fd = h2_open(attacked.address);
    h2_request(&b, path, content_type);
    assert_true(h2_frame(fd, H2_HEADERS, H2_END_HEADERS, 1, b.p, b.n));
    h2_block_free(&b);
    return fd;
}
