/* grpc.reflection.v1 and v1alpha, over a real connection. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server_fixture.h"

#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "health.h"
#include "host_agent.h"
#include "methods_table.h"
#include "reflection.h"
#include "wire.h"

#define V1 "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define V1ALPHA "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
#define ASK(x) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##x
#define ANSWER(x) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##x

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;

/* The stream of the test and the number of answers it has had. */
static struct client_call *stream;
static size_t asked;

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    stream = client_open(*state, V1);
    asked = 0;
    return 0;
}

static int teardown(void **state)
{
    client_free(stream);
    return fixture_teardown(state);
}

static void question(request_t *q, Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase kind,
                     const char *text)
{
    grpc__reflection__v1__server_reflection_request__init(q);
    q->message_request_case = kind;
    q->file_by_filename = (char *)(uintptr_t)text; /* all the texts of the oneof are in one place */
}

static response_t *ask(Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase kind,
                       const char *text)
{
    request_t q;
    question(&q, kind, text);
    client_send(stream, &q.base);
    return client_message(stream, asked++, &grpc__reflection__v1__server_reflection_response__descriptor);
}

static void response_free(response_t *r)
{
    grpc__reflection__v1__server_reflection_response__free_unpacked(r, NULL);
}

static void assert_error(response_t *r, enum fm_code code)
{
    assert_int_equal(r->message_response_case, ANSWER(ERROR_RESPONSE));
    assert_int_equal(r->error_response->error_code, code);
    assert_true(r->error_response->error_message[0] != '\0');
    response_free(r);
}

static Google__Protobuf__FileDescriptorProto *file_of(const response_t *r, size_t i)
{
    assert_int_equal(r->message_response_case, ANSWER(FILE_DESCRIPTOR_RESPONSE));
    assert_true(i < r->file_descriptor_response->n_file_descriptor_proto);
    ProtobufCBinaryData b = r->file_descriptor_response->file_descriptor_proto[i];
    Google__Protobuf__FileDescriptorProto *f =
        google__protobuf__file_descriptor_proto__unpack(NULL, b.len, b.data);
    assert_non_null(f);
    return f;
}

static void assert_first_file(response_t *r, const char *name)
{
    Google__Protobuf__FileDescriptorProto *f = file_of(r, 0);
    assert_string_equal(f->name, name);
    google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
    response_free(r);
}

/* ---- services ---- */

/* True when one of the table's paths is of this service. */
static bool is_in(const struct rpc_method *methods, size_t n, const char *service)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(methods[i].path + 1, service, strlen(service)) == 0 &&
            methods[i].path[1 + strlen(service)] == '/')
            return true;
    return false;
}

/* True when one of the core's methods is in this service. */
static bool is_core_service(const char *service)
{
    for (size_t i = 0; method_at(i) != NULL; i++) {
        char full[256];
        snprintf(full, sizeof(full), METHODS_PACKAGE ".%s", method_at(i)->name);
        *strchr(full, '/') = '\0';
        if (strcmp(full, service) == 0)
            return true;
    }
    return false;
}

static void assert_services(const response_t *r)
{
    assert_int_equal(r->message_response_case, ANSWER(LIST_SERVICES_RESPONSE));
    const Grpc__Reflection__V1__ListServiceResponse *l = r->list_services_response;
    assert_int_equal(l->n_service, 7);
    for (size_t i = 0; i < l->n_service; i++) {
        const char *s = l->service[i]->name;
        assert_true(is_core_service(s) || is_in(agent_methods, n_agent_methods, s) ||
                    is_in(health_methods, n_health_methods, s) ||
                    is_in(reflection_methods, n_reflection_methods, s));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(l->service[k]->name, s);
    }
}

static void exactly_the_served_services_are_listed(void **state)
{
    (void)state;
    response_t *r = ask(ASK(LIST_SERVICES), "*");
    assert_services(r);
    response_free(r);
}

static void v1alpha_answers_the_same(void **state)
{
    struct client_call *old = client_open(*state, V1ALPHA);
    request_t q;
    question(&q, ASK(LIST_SERVICES), "");
    client_send(old, &q.base);
    response_t *r = client_message(old, 0, &grpc__reflection__v1__server_reflection_response__descriptor);
    assert_services(r);
    response_free(r);
    client_free(old);
}

/* The methods of the protos and the rows of a table are the same. */
static void assert_methods(const char *file, const struct rpc_method *methods, size_t n)
{
    response_t *r = ask(ASK(FILE_BY_FILENAME), file);
    Google__Protobuf__FileDescriptorProto *f = file_of(r, 0);
    assert_int_equal(f->n_service, 1);
    assert_int_equal(f->service[0]->n_method, n);
    for (size_t i = 0; i < n; i++) {
        char path[256];
        const Google__Protobuf__MethodDescriptorProto *m = f->service[0]->method[i];
        snprintf(path, sizeof(path), "/%s.%s/%s", f->package, f->service[0]->name, m->name);
        assert_string_equal(path, methods[i].path);
        assert_int_equal(m->server_streaming != 0, methods[i].kind != RPC_UNARY);
        assert_int_equal(m->client_streaming != 0, methods[i].kind == RPC_BIDI);
        if (methods[i].kind != RPC_BIDI) {
            const ProtobufCMessageDescriptor *d = methods[i].detail;
            assert_string_equal(m->input_type + 1, d->name);
        }
    }
    google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
    response_free(r);
}

/* The core's methods from number `at` on are those of the file's service, in its order; returns the number
 * behind the last one. */
static size_t assert_core_methods(const char *file, size_t at)
{
    response_t *r = ask(ASK(FILE_BY_FILENAME), file);
    Google__Protobuf__FileDescriptorProto *f = file_of(r, 0);
    assert_int_equal(f->n_service, 1);
    size_t n = f->service[0]->n_method;
    for (size_t i = 0; i < n; i++) {
        char name[256];
        const Google__Protobuf__MethodDescriptorProto *m = f->service[0]->method[i];
        const struct method *row = method_at(at + i);
        assert_non_null(row);
        snprintf(name, sizeof(name), "%s/%s", f->service[0]->name, m->name);
        assert_string_equal(f->package, METHODS_PACKAGE);
        assert_string_equal(row->name, name);
        assert_int_equal(m->server_streaming != 0, row->kind == METHOD_STREAM);
        assert_int_equal(m->client_streaming, 0);
        assert_string_equal(m->input_type + 1, row->request->name);
    }
    google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
    response_free(r);
    return at + n;
}

static void the_method_tables_are_those_of_the_protos(void **state)
{
    (void)state;
    size_t at = assert_core_methods("fermata/v1/flows.proto", 0);
    at = assert_core_methods("fermata/v1/jobs.proto", at);
    at = assert_core_methods("fermata/v1/hosts.proto", at);
    assert_null(method_at(at));
    assert_methods("fermata/v1/host_agent.proto", agent_methods, n_agent_methods);
    assert_methods("grpc/health/v1/health.proto", health_methods, n_health_methods);
    assert_methods("grpc/reflection/v1/reflection.proto", reflection_methods, 1);
    assert_methods("grpc/reflection/v1alpha/reflection.proto", reflection_methods + 1, 1);
}

/* ---- files and symbols ---- */

/* The file is first, and whatever one of the files imports is among them, once. */
static void assert_complete(const char *name)
{
    response_t *r = ask(ASK(FILE_BY_FILENAME), name);
    size_t n = r->file_descriptor_response->n_file_descriptor_proto;
    assert_true(n > 0 && n < 20);
    Google__Protobuf__FileDescriptorProto *files[20] = {NULL};
    for (size_t i = 0; i < n; i++)
        files[i] = file_of(r, i);
    assert_string_equal(files[0]->name, name);
    for (size_t i = 0; i < n; i++) {
        for (size_t d = 0; d < files[i]->n_dependency; d++) {
            size_t found = 0;
            for (size_t k = 0; k < n; k++)
                found += strcmp(files[k]->name, files[i]->dependency[d]) == 0;
            assert_int_equal(found, 1);
        }
    }
    for (size_t i = 0; i < n; i++)
        google__protobuf__file_descriptor_proto__free_unpacked(files[i], NULL);
    response_free(r);
}

static void a_file_comes_first_and_its_imports_with_it(void **state)
{
    (void)state;
    static const char *const files[] = {"fermata/v1/types.proto",         "fermata/v1/flows.proto",
                                        "fermata/v1/jobs.proto",          "fermata/v1/hosts.proto",
                                        "fermata/v1/host_agent.proto",    "google/rpc/status.proto",
                                        "google/rpc/error_details.proto", "grpc/health/v1/health.proto"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        assert_complete(files[i]);
}

static void an_unknown_file_is_not_found(void **state)
{
    (void)state;
    assert_error(ask(ASK(FILE_BY_FILENAME), "fermata/v1/nothing.proto"), FM_NOT_FOUND);
    assert_error(ask(ASK(FILE_BY_FILENAME), ""), FM_NOT_FOUND);
}

static void every_kind_of_symbol_leads_to_its_file(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"fermata.v1.Jobs",                                  "fermata/v1/jobs.proto"          },
        {"fermata.v1.Jobs.SubmitJob",                        "fermata/v1/jobs.proto"          },
        {"fermata.v1.SubmitJobRequest",                      "fermata/v1/jobs.proto"          },
        {"fermata.v1.SubmitJobRequest.request_id",           "fermata/v1/jobs.proto"          },
        {"fermata.v1.SubmitJobRequest.LabelsEntry",          "fermata/v1/jobs.proto"          },
        {"fermata.v1.JobStatus",                             "fermata/v1/types.proto"         },
        {"fermata.v1.JOB_STATUS_PENDING",                    "fermata/v1/types.proto"         },
        {"fermata.v1.HostMessage.body",                      "fermata/v1/host_agent.proto"    },
        {"google.rpc.BadRequest.FieldViolation",             "google/rpc/error_details.proto" },
        {"google.rpc.ErrorInfo",                             "google/rpc/error_details.proto" },
        {"google.rpc.RetryInfo",                             "google/rpc/error_details.proto" },
        {"google.rpc.Status",                                "google/rpc/status.proto"        },
        {"google.protobuf.Any",                              "google/protobuf/any.proto"      },
        {"google.protobuf.Struct",                           "google/protobuf/struct.proto"   },
        {"google.protobuf.Timestamp",                        "google/protobuf/timestamp.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"    },
        {".fermata.v1.Job",                                  "fermata/v1/types.proto"         },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_first_file(ask(ASK(FILE_CONTAINING_SYMBOL), rows[i][0]), rows[i][1]);
}

static void an_unknown_symbol_is_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {
        "", ".", "fermata", "fermata.v1", "fermata.v1.Nothing", "Jobs", "fermata.v1.Jobs."};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_error(ask(ASK(FILE_CONTAINING_SYMBOL), names[i]), FM_NOT_FOUND);
}

static void an_error_about_a_long_name_is_valid_text(void **state)
{
    (void)state;
    char name[1000];
    for (size_t i = 0; i + 2 < sizeof(name); i += 2)
        memcpy(name + i, "\xc3\xa9", 2);
    name[998] = '\0';
    response_t *r = ask(ASK(FILE_CONTAINING_SYMBOL), name);
    assert_true(wire_text_ok((const uint8_t *)r->error_response->error_message,
                             strlen(r->error_response->error_message)));
    assert_error(r, FM_NOT_FOUND);
}

/* ---- extensions ---- */

static void there_are_no_extensions(void **state)
{
    (void)state;
    char type[] = "google.rpc.Status";
    request_t q;
    Grpc__Reflection__V1__ExtensionRequest e = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
    question(&q, ASK(FILE_CONTAINING_EXTENSION), NULL);
    e.containing_type = type;
    e.extension_number = 100;
    q.file_containing_extension = &e;
    client_send(stream, &q.base);
    assert_error(
        client_message(stream, asked++, &grpc__reflection__v1__server_reflection_response__descriptor),
        FM_NOT_FOUND);
}

static void a_known_type_has_an_empty_list_of_extensions(void **state)
{
    (void)state;
    response_t *r = ask(ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "fermata.v1.Job");
    assert_int_equal(r->message_response_case, ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE));
    assert_string_equal(r->all_extension_numbers_response->base_type_name, "fermata.v1.Job");
    assert_int_equal(r->all_extension_numbers_response->n_extension_number, 0);
    response_free(r);
}

static void the_extensions_of_what_is_no_message_are_not_found(void **state)
{
    (void)state;
    assert_error(ask(ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "fermata.v1.Nothing"), FM_NOT_FOUND);
    assert_error(ask(ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "fermata.v1.Jobs"), FM_NOT_FOUND);
    assert_error(ask(ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "fermata.v1.JobStatus"), FM_NOT_FOUND);
}

/* ---- the stream ---- */

static void an_answer_repeats_its_question(void **state)
{
    (void)state;
    char host[] = "example.org";
    request_t q;
    question(&q, ASK(FILE_CONTAINING_SYMBOL), "fermata.v1.Hosts");
    q.host = host;
    client_send(stream, &q.base);
    response_t *r =
        client_message(stream, asked++, &grpc__reflection__v1__server_reflection_response__descriptor);
    assert_string_equal(r->valid_host, "example.org");
    assert_string_equal(r->original_request->host, "example.org");
    assert_int_equal(r->original_request->message_request_case, ASK(FILE_CONTAINING_SYMBOL));
    assert_string_equal(r->original_request->file_containing_symbol, "fermata.v1.Hosts");
    response_free(r);
}

static void a_question_of_no_kind_gets_an_error(void **state)
{
    (void)state;
    assert_error(ask(ASK(_NOT_SET), NULL), FM_INVALID_ARGUMENT);
    response_t *r = ask(ASK(LIST_SERVICES), "");
    assert_services(r);
    response_free(r);
}

static void questions_sent_together_are_answered_in_order(void **state)
{
    (void)state;
    static const char *const files[] = {"fermata/v1/jobs.proto", "google/rpc/status.proto",
                                        "fermata/v1/flows.proto"};
    request_t q;
    for (size_t i = 0; i < 30; i++) {
        question(&q, ASK(FILE_BY_FILENAME), files[i % 3]);
        client_send(stream, &q.base);
    }
    rpc_stream_close_send(stream->stream);
    for (size_t i = 0; i < 30; i++)
        assert_first_file(
            client_message(stream, i, &grpc__reflection__v1__server_reflection_response__descriptor),
            files[i % 3]);
    assert_int_equal(client_status(stream), FM_OK);
}

static void a_malformed_question_ends_the_stream(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x1a, 9, 'x'};
    rpc_stream_send(stream->stream, (struct fm_bytes){bytes, sizeof(bytes)});
    assert_failed(stream, FM_INVALID_ARGUMENT, "file_by_filename");
}

static void an_idle_stream_does_not_delay_the_stop(void **state)
{
    response_t *r = ask(ASK(LIST_SERVICES), "");
    response_free(r);
    fixture_stop(*state);
    assert_failed(stream, FM_UNAVAILABLE, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exactly_the_served_services_are_listed),
        TEST(v1alpha_answers_the_same),
        TEST(the_method_tables_are_those_of_the_protos),
        TEST(a_file_comes_first_and_its_imports_with_it),
        TEST(an_unknown_file_is_not_found),
        TEST(every_kind_of_symbol_leads_to_its_file),
        TEST(an_unknown_symbol_is_not_found),
        TEST(an_error_about_a_long_name_is_valid_text),
        TEST(there_are_no_extensions),
        TEST(a_known_type_has_an_empty_list_of_extensions),
        TEST(the_extensions_of_what_is_no_message_are_not_found),
        TEST(an_answer_repeats_its_question),
        TEST(a_question_of_no_kind_gets_an_error),
        TEST(questions_sent_together_are_answered_in_order),
        TEST(a_malformed_question_ends_the_stream),
        TEST(an_idle_stream_does_not_delay_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
