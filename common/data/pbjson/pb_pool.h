/* Messages, enums and methods as a FileDescriptorSet describes them
 * (google/protobuf/descriptor.proto), linked with each other and found by name. For what treats
 * messages that it was not compiled for: JSON, the command line. A pool does not change after it
 * is made, so any thread may read it. */
#ifndef FM_PB_POOL_H
#define FM_PB_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* FieldDescriptorProto.Type, with its numbers. */
enum pb_type {
    PB_DOUBLE = 1,
    PB_FLOAT = 2,
    PB_INT64 = 3,
    PB_UINT64 = 4,
    PB_INT32 = 5,
    PB_FIXED64 = 6,
    PB_FIXED32 = 7,
    PB_BOOL = 8,
    PB_STRING = 9,
    PB_GROUP = 10, /* of proto2; no message that has one can be read or written */
    PB_MESSAGE = 11,
    PB_BYTES = 12,
    PB_UINT32 = 13,
    PB_ENUM = 14,
    PB_SFIXED32 = 15,
    PB_SFIXED64 = 16,
    PB_SINT32 = 17,
    PB_SINT64 = 18
};

/* Messages that have a JSON form of their own. */
enum pb_known {
    PB_PLAIN,
    PB_ANY,
    PB_TIMESTAMP,
    PB_DURATION,
    PB_FIELD_MASK,
    PB_STRUCT,
    PB_VALUE,
    PB_LIST_VALUE,
    PB_WRAPPER
};

struct pb_enum_value {
    const char *name;
    int32_t number;
};

struct pb_enum {
    const char *name; /* full, without a dot in front */
    const struct pb_enum_value *values;
    size_t n_values;
    bool is_null; /* google.protobuf.NullValue */
};

struct pb_field {
    const char *name, *json_name;
    uint32_t number;
    enum pb_type type;
    bool repeated;
    bool is_map;                       /* repeated entries of key and value */
    bool presence;                     /* a default value that is set differs from one that is not */
    int oneof;                         /* which of its message's; -1: none (also for a proto3 `optional`) */
    const struct pb_message *message;  /* of a PB_MESSAGE */
    const struct pb_enum *enumeration; /* of a PB_ENUM */
};

struct pb_message {
    const char *name;              /* full, without a dot in front */
    const struct pb_field *fields; /* as declared */
    size_t n_fields, n_oneofs;
    enum pb_known known;
    const void *index; /* the pool's */
};

struct pb_method {
    const char *service; /* "fermata.v1.Jobs" */
    const char *name;    /* "GetJob" */
    const struct pb_message *input, *output;
    bool client_streaming, server_streaming;
};

struct pb_pool;

/* The set must live as long as the pool. A set that is malformed, or names a type that it lacks, ends the
 * process: it is one that protoc wrote at build time. Release with pb_pool_free. */
struct pb_pool *pb_pool_new(struct fm_bytes descriptor_set);
void pb_pool_free(struct pb_pool *p);

/* By full name; NULL when there is none. */
const struct pb_message *pb_pool_message(const struct pb_pool *p, const char *name);
const struct pb_enum *pb_pool_enum(const struct pb_pool *p, const char *name);
const struct pb_method *pb_pool_method(const struct pb_pool *p, const char *service, const char *method);
/* All methods, service by service as declared. */
const struct pb_method *pb_pool_methods(const struct pb_pool *p, size_t *n);

/* The field of this number, or of this name in either spelling (`job_id`, `jobId`); NULL when there is
 * none. */
const struct pb_field *pb_field_by_number(const struct pb_message *m, uint32_t number);
const struct pb_field *pb_field_by_name(const struct pb_message *m, const char *name);
/* The name of an enum's number; NULL when it has none. */
const char *pb_enum_name(const struct pb_enum *e, int32_t number);
const struct pb_enum_value *pb_enum_by_name(const struct pb_enum *e, const char *name);

#endif
