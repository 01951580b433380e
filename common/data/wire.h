/* The wire guard, run before every decode of bytes from outside, and a reader for walking
 * messages by hand.
 *
 * Neither protobuf-c nor nanopb limits recursion, checks UTF-8 or counts elements; protobuf-c
 * also merges a submessage that occurs twice wrongly. The guard walks the bytes by a neutral
 * descriptor (adapters: the coordinator has one for protobuf-c, hostd one for nanopb) and refuses what a
 * decoder should not see. Rules: https://protobuf.dev/programming-guides/encoding/ . No memory
 * is allocated. Thread-safe. */
#ifndef FM_WIRE_H
#define FM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum wire_type { WIRE_TYPE_VARINT = 0, WIRE_TYPE_FIXED64 = 1, WIRE_TYPE_LEN = 2, WIRE_TYPE_FIXED32 = 5 };

enum wire_kind {
    WIRE_VARINT,
    WIRE_FIXED32,
    WIRE_FIXED64,
    WIRE_FLOAT,
    WIRE_DOUBLE,
    WIRE_STRING,
    WIRE_BYTES,
    WIRE_MESSAGE
};

struct wire_msg;

struct wire_field {
    uint32_t number;
    enum wire_kind kind;
    bool repeated;
    const char *name;
    const struct wire_msg *sub; /* of a WIRE_MESSAGE */
};

struct wire_msg {
    const char *name;
    const struct wire_field *fields; /* by number */
    size_t n_fields;
    /* Asked for each field that is not listed, with its number and the whole message; NULL: all are allowed.
     * Returns NULL, or what is wrong. Costs more than a moment at most once in a message. */
    const char *(*strange)(uint32_t number, struct fm_bytes message);
};

struct wire_limits {
    size_t max_bytes;
    uint32_t max_depth;  /* nested messages, the outermost counts 1; at most WIRE_MAX_DEPTH */
    size_t max_elements; /* fields, elements and entries in all */
};

#define WIRE_MAX_DEPTH 128

/* Limits for messages of up to max_bytes: 100 levels, an element for each 2 bytes and at most
 * 2,000,000. */
struct wire_limits wire_limits_for(size_t max_bytes);

/* Checks a message. Returns 0, -FM_INVALID_ARGUMENT (err->field is the path, for example
 * "data.fields[3].value") or -FM_RESOURCE_EXHAUSTED (a limit). */
int wire_check(const struct wire_msg *msg, struct fm_bytes bytes, const struct wire_limits *limits,
               struct fm_err *err) FM_MUST_CHECK;

/* Walks one level of a message. */
struct wire_reader {
    const uint8_t *p, *end;
};

/* A reader of the bytes, which may be absent (NULL, 0). */
static inline struct wire_reader wire_reader(struct fm_bytes b)
{
    return (struct wire_reader){b.p, b.n == 0 ? b.p : b.p + b.n};
}

/* Reads the next field: varints and fixed ones into *val, length-delimited ones as a view into
 * *len. Returns 1, 0 at the end, -1 when malformed. */
int wire_next(struct wire_reader *r, uint32_t *field, enum wire_type *type, uint64_t *val,
              struct fm_bytes *len) FM_MUST_CHECK;

/* Reads the next of the numbers of a packed field, which are of this type (no length-delimited one). Returns
 * 1, 0 at the end, -1 when it is cut off or malformed. */
int wire_next_packed(struct wire_reader *r, enum wire_type type, uint64_t *val) FM_MUST_CHECK;

/* The field of this number; NULL: the message has none. */
const struct wire_field *wire_find_field(const struct wire_msg *msg, uint32_t number);

/* True for valid UTF-8 (RFC 3629) without NUL. */
bool wire_text_ok(const uint8_t *p, size_t n);

#endif
