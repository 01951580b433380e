/* Protobuf messages as JSON and back, by descriptors: the canonical mapping of
 * https://protobuf.dev/programming-guides/json/ . Fields are written under their JSON names
 * (`jobId`), without those that have their default value; they are read under these and under the
 * names of the proto (`job_id`). Pure functions; time and memory are linear in the input. */
#ifndef FM_PB_JSON_H
#define FM_PB_JSON_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "pb_pool.h"

/* How deeply messages may be nested, for reading and writing. */
#define PB_JSON_MAX_DEPTH 100

/* Appends the message as JSON without white space, and nothing when it fails. Fields that the descriptor does
 * not know are left out. Returns 0, or -FM_INVALID_ARGUMENT with the path of the field: bytes that are no
 * such message, text that is not UTF-8, times beyond the years 1 to 9999, a number that JSON does not have
 * where only a number can stand, an Any of a type that the pool lacks, too deep. */
int pb_json_write(const struct pb_pool *pool, const struct pb_message *m, struct fm_bytes bytes,
                  struct fm_buf *out, struct fm_err *err) FM_MUST_CHECK;

/* Appends the encoding of what n bytes of JSON text say, and nothing when it fails. An unknown key is an
 * error that names the nearest one, unless `ignore_unknown` (then also unknown names of enums are left out).
 * Returns 0, or -FM_INVALID_ARGUMENT with the path of the field. An object's keys must differ. */
int pb_json_read(const struct pb_pool *pool, const struct pb_message *m, const char *json, size_t n,
                 bool ignore_unknown, struct fm_buf *out, struct fm_err *err) FM_MUST_CHECK;

/* Appends JSON text, which must be valid, with line breaks and two blanks a level, as grpcurl prints it. */
void pb_json_indent(const char *json, size_t n, struct fm_buf *out);

#endif
