/* grpc.reflection.v1 and v1alpha (the same on the wire), from the descriptor set that protoc wrote at build
 * time. See /usr/share/grpc-proto/grpc/reflection/v1/reflection.proto for the protocol. */
#include "reflection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "buf.h"
#include "descriptors.h"
#include "err.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "mem.h"
#include "rpc.h"
#include "server_calls.h"
#include "wire.h"

/* Of answers that wait to be read; then no more questions are. */
#define MAX_QUEUED (64u * 1024)

/* A file of the set, with its bytes as protoc wrote them. */
struct file {
    const char *name;
    struct fm_bytes bytes;
    Google__Protobuf__FileDescriptorProto *proto;
};

/* A full name and the file that defines it. */
struct symbol {
    UT_hash_handle hh;
    char *name;
    size_t file;
    bool is_message;
};

static struct {
    bool ready;
    struct file *files;
    size_t n_files;
    struct symbol *symbols;
} set;

/* ---- the index, made at the first question ---- */

static void add_symbol(const char *prefix, const char *name, size_t file, bool is_message)
{
    char full[512];
    snprintf(full, sizeof(full), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
    struct symbol *s;
    HASH_FIND_STR(set.symbols, full, s);
    if (s != NULL)
        return;
    s = fm_xcalloc(1, sizeof(*s));
    s->name = fm_xstrdup(full);
    s->file = file;
    s->is_message = is_message;
    HASH_ADD_KEYPTR(hh, set.symbols, s->name, strlen(s->name), s);
}

static void add_enum(const char *prefix, const Google__Protobuf__EnumDescriptorProto *e, size_t file)
{
    char full[512];
    add_symbol(prefix, e->name, file, false);
    snprintf(full, sizeof(full), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", e->name);
    for (size_t i = 0; i < e->n_value; i++) {
        add_symbol(prefix, e->value[i]->name, file, false); /* enum values are siblings of their enum */
        add_symbol(full, e->value[i]->name, file, false);
    }
}

static void add_message(const char *prefix, const Google__Protobuf__DescriptorProto *m, size_t file)
{
    char full[512];
    add_symbol(prefix, m->name, file, true);
    snprintf(full, sizeof(full), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", m->name);
    for (size_t i = 0; i < m->n_field; i++)
        add_symbol(full, m->field[i]->name, file, false);
    for (size_t i = 0; i < m->n_oneof_decl; i++)
        add_symbol(full, m->oneof_decl[i]->name, file, false);
    for (size_t i = 0; i < m->n_enum_type; i++)
        add_enum(full, m->enum_type[i], file);
    for (size_t i = 0; i < m->n_nested_type; i++)
        add_message(full, m->nested_type[i], file);
}

static void add_service(const char *package, const Google__Protobuf__ServiceDescriptorProto *s, size_t file)
{
    char full[512];
    add_symbol(package, s->name, file, false);
    snprintf(full, sizeof(full), "%s%s%s", package, package[0] != '\0' ? "." : "", s->name);
    for (size_t i = 0; i < s->n_method; i++)
        add_symbol(full, s->method[i]->name, file, false);
}

static void index_file(size_t at)
{
    const Google__Protobuf__FileDescriptorProto *p = set.files[at].proto;
    const char *package = p->package == NULL ? "" : p->package;
    for (size_t i = 0; i < p->n_message_type; i++)
        add_message(package, p->message_type[i], at);
    for (size_t i = 0; i < p->n_enum_type; i++)
        add_enum(package, p->enum_type[i], at);
    for (size_t i = 0; i < p->n_service; i++)
        add_service(package, p->service[i], at);
}

static void prepare(void)
{
    if (set.ready)
        return;
    set.ready = true;
    struct wire_reader r = {fm_descriptor_set, fm_descriptor_set + fm_descriptor_set_size};
    uint32_t field;
    enum wire_type type;
    uint64_t val;
    struct fm_bytes len;
    while (wire_next(&r, &field, &type, &val, &len) > 0) {
        if (field != 1 || type != WIRE_TYPE_LEN)
            continue;
        Google__Protobuf__FileDescriptorProto *p =
            google__protobuf__file_descriptor_proto__unpack(NULL, len.n, len.p);
        if (p == NULL)
            fm_abort("the embedded descriptor set is malformed");
        set.files = fm_xrealloc(set.files, (set.n_files + 1) * sizeof(*set.files));
        set.files[set.n_files] = (struct file){p->name, len, p};
        index_file(set.n_files++);
    }
}

/* ---- answers ---- */

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;

static void send(struct rpc_call *call, response_t *r, const request_t *q)
{
    r->valid_host = q->host;
    r->original_request = (request_t *)(uintptr_t)q;
    struct fm_buf b = {0};
    size_t n = protobuf_c_message_get_packed_size(&r->base);
    fm_buf_reserve(&b, n);
    b.n = protobuf_c_message_pack(&r->base, b.p);
    (void)rpc_call_send(call, (struct fm_bytes){b.p, b.n});
    fm_buf_done(&b);
}

static void send_error(struct rpc_call *call, const request_t *q, enum fm_code code, const char *what,
                       const char *name)
{
    response_t r = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__ErrorResponse e = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    struct fm_err err = {0};
    fm_err_set(&err, code, NULL, "%s%.150s", what, name); /* makes it valid UTF-8 wherever it is cut */
    e.error_code = (int32_t)err.code;
    e.error_message = err.msg;
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    r.error_response = &e;
    send(call, &r, q);
}

static void mark_with_imports(size_t at, bool *wanted)
{
    if (wanted[at])
        return;
    wanted[at] = true;
    const Google__Protobuf__FileDescriptorProto *p = set.files[at].proto;
    for (size_t i = 0; i < p->n_dependency; i++)
        for (size_t k = 0; k < set.n_files; k++)
            if (strcmp(set.files[k].name, p->dependency[i]) == 0)
                mark_with_imports(k, wanted);
}

/* The file first, then all it imports. */
static void send_file(struct rpc_call *call, const request_t *q, size_t at)
{
    response_t r = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__FileDescriptorResponse f = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    bool *wanted = fm_xcalloc(set.n_files, sizeof(*wanted));
    f.file_descriptor_proto = fm_xcalloc(set.n_files, sizeof(*f.file_descriptor_proto));
    mark_with_imports(at, wanted);
    for (size_t i = 0; i < set.n_files; i++) {
        size_t k = i == 0 ? at : i <= at ? i - 1 : i;
        if (wanted[k])
            f.file_descriptor_proto[f.n_file_descriptor_proto++] =
                (ProtobufCBinaryData){set.files[k].bytes.n, (uint8_t *)(uintptr_t)set.files[k].bytes.p};
    }
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    r.file_descriptor_response = &f;
    send(call, &r, q);
    free(f.file_descriptor_proto);
    free(wanted);
}

static void by_filename(struct rpc_call *call, const request_t *q)
{
    for (size_t i = 0; i < set.n_files; i++) {
        if (strcmp(set.files[i].name, q->file_by_filename) == 0) {
            send_file(call, q, i);
            return;
        }
    }
    send_error(call, q, FM_NOT_FOUND, "no such file: ", q->file_by_filename);
}

static const struct symbol *find_symbol(const char *name)
{
    struct symbol *s;
    if (name[0] == '.')
        name++;
    HASH_FIND_STR(set.symbols, name, s);
    return s;
}

static void by_symbol(struct rpc_call *call, const request_t *q)
{
    const struct symbol *s = find_symbol(q->file_containing_symbol);
    if (s != NULL)
        send_file(call, q, s->file);
    else
        send_error(call, q, FM_NOT_FOUND, "no such symbol: ", q->file_containing_symbol);
}

/* None of the protos has extensions: a known type has an empty list, which is no error. */
static void extension_numbers(struct rpc_call *call, const request_t *q)
{
    const struct symbol *s = find_symbol(q->all_extension_numbers_of_type);
    if (s == NULL || !s->is_message) {
        send_error(call, q, FM_NOT_FOUND, "no such type: ", q->all_extension_numbers_of_type);
        return;
    }
    response_t r = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__ExtensionNumberResponse e = GRPC__REFLECTION__V1__EXTENSION_NUMBER_RESPONSE__INIT;
    e.base_type_name = s->name;
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    r.all_extension_numbers_response = &e;
    send(call, &r, q);
}

static void list_services(struct rpc_call *call, const request_t *q)
{
    response_t r = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    Grpc__Reflection__V1__ListServiceResponse l = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    char names[32][128];
    Grpc__Reflection__V1__ServiceResponse services[32], *pointers[32];
    for (size_t i = 0; i < set.n_files; i++) {
        const Google__Protobuf__FileDescriptorProto *p = set.files[i].proto;
        for (size_t k = 0; k < p->n_service && l.n_service < 32; k++) {
            grpc__reflection__v1__service_response__init(&services[l.n_service]);
            snprintf(names[l.n_service], sizeof(names[0]), "%s.%s", p->package == NULL ? "" : p->package,
                     p->service[k]->name);
            services[l.n_service].name = names[l.n_service];
            pointers[l.n_service] = &services[l.n_service];
            l.n_service++;
        }
    }
    l.service = pointers;
    r.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    r.list_services_response = &l;
    send(call, &r, q);
}

static void on_message(struct rpc_call *call, void *user, struct fm_bytes message)
{
    (void)user;
    const ProtobufCMessage *m =
        server_decode(call, &grpc__reflection__v1__server_reflection_request__descriptor, message);
    if (m == NULL)
        return;
    const request_t *q = (const request_t *)(const void *)m;
    prepare();
    switch (q->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        by_filename(call, q);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        by_symbol(call, q);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        send_error(call, q, FM_NOT_FOUND, "no such extension of ",
                   q->file_containing_extension->containing_type);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        extension_numbers(call, q);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        list_services(call, q);
        return;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET:
    default:
        send_error(call, q, FM_INVALID_ARGUMENT, "the request asks nothing that is known", "");
        return;
    }
}

static void on_half_close(struct rpc_call *call, void *user)
{
    (void)user;
    rpc_call_finish(call, NULL, (struct fm_bytes){0});
}

static void on_close(struct rpc_call *call, void *user)
{
    (void)call;
    server_call_forget(user);
}

static void reflect(struct rpc_call *call, const struct rpc_method *method, struct fm_bytes message)
{
    static const struct rpc_call_events events = {
        .on_message = on_message, .on_half_close = on_half_close, .on_close = on_close};
    (void)method;
    (void)message;
    if (!server_admit(call, 0))
        return;
    rpc_call_events(call, &events, server_call_new(rpc_call_service(call), call, SERVER_CALL_REFLECTION),
                    MAX_QUEUED);
}

const struct rpc_method reflection_methods[] = {
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",      RPC_BIDI, reflect, NULL, 0},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", RPC_BIDI, reflect, NULL, 0},
};
const size_t n_reflection_methods = sizeof(reflection_methods) / sizeof(reflection_methods[0]);
