/* grpc.health.v1, over a real connection. */
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server_fixture.h"

#include "grpc/health/v1/health.pb-c.h"

#define CHECK "/grpc.health.v1.Health/Check"
#define WATCH "/grpc.health.v1.Health/Watch"
#define STATUS(s) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##s

static struct client_call *ask(struct fixture *f, const char *path, const char *service)
{
    Grpc__Health__V1__HealthCheckRequest r = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    r.service = (char *)(uintptr_t)service;
    return client_call(f, path, &r.base);
}

static void assert_answer(struct client_call *c, size_t n,
                          Grpc__Health__V1__HealthCheckResponse__ServingStatus want)
{
    Grpc__Health__V1__HealthCheckResponse *r =
        client_message(c, n, &grpc__health__v1__health_check_response__descriptor);
    assert_int_equal(r->status, want);
    grpc__health__v1__health_check_response__free_unpacked(r, NULL);
}

static void the_server_and_each_service_are_serving(void **state)
{
    static const char *const services[] = {"", "fermata.v1.Flows", "fermata.v1.Jobs", "fermata.v1.Hosts",
                                           "fermata.v1.HostAgent"};
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        struct client_call *c = ask(*state, CHECK, services[i]);
        assert_int_equal(client_status(c), FM_OK);
        assert_answer(c, 0, STATUS(SERVING));
        client_free(c);
    }
}

static void a_check_of_an_unknown_service_is_not_found(void **state)
{
    struct client_call *c = ask(*state, CHECK, "fermata.v1.Nothing");
    assert_failed(c, FM_NOT_FOUND, "service");
    client_free(c);
}

static void a_malformed_check_names_its_field(void **state)
{
    static const uint8_t bytes[] = {0x0a, 1, 0xff};
    struct client_call *c = client_call_bytes(*state, CHECK, (struct fm_bytes){bytes, sizeof(bytes)});
    assert_failed(c, FM_INVALID_ARGUMENT, "service");
    client_free(c);
}

static void a_watch_of_an_unknown_service_says_so_and_goes_on(void **state)
{
    struct client_call *c = ask(*state, WATCH, "fermata.v1.Nothing");
    assert_answer(c, 0, STATUS(SERVICE_UNKNOWN));
    assert_false(client_is_over(c));
    client_free(c);
}

static void a_watch_tells_of_the_stop_and_ends(void **state)
{
    struct fixture *f = *state;
    struct client_call *c = ask(f, WATCH, "fermata.v1.Jobs");
    assert_answer(c, 0, STATUS(SERVING));
    fixture_stop(f);
    assert_answer(c, 1, STATUS(NOT_SERVING));
    assert_int_equal(client_status(c), FM_OK);
    assert_int_equal(c->n_messages, 2);
    client_free(c);
}

static void a_watch_that_its_client_left_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct client_call *c = ask(f, WATCH, "");
    assert_answer(c, 0, STATUS(SERVING));
    rpc_stream_cancel(c->stream);
    assert_int_equal(client_status(c), FM_CANCELLED);
    client_free(c);
    fixture_stop(f);
    assert_null(f->coordinator.health_watches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_server_and_each_service_are_serving, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_check_of_an_unknown_service_is_not_found, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_malformed_check_names_its_field, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_watch_of_an_unknown_service_says_so_and_goes_on, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_watch_tells_of_the_stop_and_ends, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_watch_that_its_client_left_is_forgotten, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
