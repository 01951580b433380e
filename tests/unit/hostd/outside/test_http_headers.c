/* Headers of requests, whoever made them: plugins write them as they like. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http.h"
#include "mem.h"
#include "outside_events.h"
#include "secrets.h"

static char error[300];
static bool refused;
static int ended;

static int on_data(void *arg, uint64_t id, struct fm_bytes data)
{
    (void)arg;
    (void)id;
    (void)data;
    return 0;
}

static void on_done(void *arg, uint64_t id, const void *result)
{
    const struct fm_http_response *r = result;
    (void)arg;
    (void)id;
    (void)snprintf(error, sizeof(error), "%s", r->error);
    refused = r->refused;
    ended++;
}

/* What becomes of a request with this header to a port where nobody listens. */
static void tries(const char *header)
{
    static const struct outside_events events = {.data = on_data, .done = on_done};
    fm_auto(fm_err) err = {0};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(setenv("FERMATA_SECRET_BROKEN_KEY",
                            "http://127.0.0.1:1 very-secret\r\nTransfer-Encoding: chunked", 1),
                     0);
    struct secrets *secrets = secrets_read(NULL, NULL, 0, &err);
    struct http *h = http_new(&loop, &events, secrets, NULL);
    const struct fm_http_request r = {.method = "POST",
                                      .url = "http://127.0.0.1:1/",
                                      .headers = &header,
                                      .n_headers = 1,
                                      .body = "a",
                                      .body_bytes = 1};
    const struct http_request call = {.request = &r};
    ended = 0;
    http_start(h, 1, &call);
    while (ended == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    http_stop(h);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    http_free(h);
    secrets_free(secrets);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void framing_of_anybody_s_is_refused_before_anything_is_sent(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Content-Length: 5",   "transfer-encoding: chunked",       "Transfer-Encoding;",
        "Content-Length : 5",  "X: a\nTransfer-Encoding: chunked", "Host: x",
        "Connection: upgrade", "X: ${secret:BROKEN_KEY}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tries(bad[i]);
        if (!refused || strstr(error, "header") == NULL || strstr(error, "very-secret") != NULL)
            fail_msg("%s: %s", bad[i], error);
    }
}

static void other_headers_are_sent(void **state)
{
    (void)state;
    static const char *const good[] = {"X-Empty:", "X-Empty: ", "X: a:b", "Expect: 100-continue"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        tries(good[i]);
        if (refused)
            fail_msg("%s: %s", good[i], error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_of_anybody_s_is_refused_before_anything_is_sent),
        cmocka_unit_test(other_headers_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
