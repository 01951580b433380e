/* Values as trees in an arena, read from and written to google.protobuf's Value and Struct. The
 * accessors are in the public header fermata/value.h. Not thread-safe. */
#ifndef FM_VALUE_H
#define FM_VALUE_H

#include <fermata/value.h>

#include "arena.h"
#include "buf.h"
#include "err.h"
#include "number.h"

/* How deeply values may be nested, counted in protobuf messages as the wire guard counts them: a
 * list is two, a map three. Clients' requests have at most 64 levels, so that whatever was
 * accepted can be handled, with some room to wrap it; and what a handler makes passes the
 * coordinator's guard (100) inside a step. */
#define VALUE_MAX_DEPTH 80

/* Builders; NULL when the arena is full. Text is checked and copied. */
struct fm_value *value_null(struct fm_arena *a);
struct fm_value *value_bool(struct fm_arena *a, bool b);
struct fm_value *value_number(struct fm_arena *a, double n); /* null when it is not finite */
struct fm_value *value_number_of(struct fm_arena *a, struct number n);
struct fm_value *value_string(struct fm_arena *a, const char *s, size_t n);
/* A string of text that is in the arena already, checked and ended by NUL: it is not copied. */
struct fm_value *value_text(struct fm_arena *a, const char *s, size_t n);
/* A value that is written as this text, byte for byte, which the caller knows to be JSON and keeps in the
 * arena, ended by NUL; to everybody else it is a string. */
struct fm_value *value_raw_json(struct fm_arena *a, const char *json, size_t n);
/* The text of such a value; NULL: it is none. */
const char *value_is_raw_json(const struct fm_value *v);
struct fm_value *value_list(struct fm_arena *a);
struct fm_value *value_map(struct fm_arena *a);
/* Return -1 when the arena is full, or when the container is of another kind. */
int value_list_add(struct fm_arena *a, struct fm_value *list, const struct fm_value *v) FM_MUST_CHECK;
int value_map_set(struct fm_arena *a, struct fm_value *map, const char *key,
                  const struct fm_value *v) FM_MUST_CHECK;
/* The same for a key that the map is known not to have: does not look. */
int value_map_add(struct fm_arena *a, struct fm_value *map, const char *key,
                  const struct fm_value *v) FM_MUST_CHECK;
/* The same with a key that is in the arena already, checked: it is not copied. */
int value_map_add_text(struct fm_arena *a, struct fm_value *map, const char *key,
                       const struct fm_value *v) FM_MUST_CHECK;
/* Makes a map's keys unique: of equal ones the last value counts, at the place of the first. `ret_twice`
 * (may be NULL) is a key that came twice, or NULL. Takes n log n. Returns -1 when memory is short. */
int value_map_unify(struct fm_arena *a, struct fm_value *map, const char **ret_twice) FM_MUST_CHECK;
/* A new map with the keys and values of `map`; an empty one when that is no map. NULL when the
 * arena is full. */
struct fm_value *value_map_copy(struct fm_arena *a, const struct fm_value *map);

/* The number; 0 when it is none. */
struct number value_as_number(const struct fm_value *v);

/* Decode an encoded Value, or Struct, into the arena. Strings and keys are copied. Return NULL
 * with err: FM_INVALID_ARGUMENT (malformed, too deep, not finite) or FM_RESOURCE_EXHAUSTED
 * (arena). */
struct fm_value *value_decode(struct fm_bytes value, struct fm_arena *a, struct fm_err *err) FM_MUST_CHECK;
struct fm_value *value_decode_struct(struct fm_bytes fields, struct fm_arena *a,
                                     struct fm_err *err) FM_MUST_CHECK;
/* Whether an encoded Value is a number: without decoding it as a whole. */
bool value_encoded_number(struct fm_bytes value, struct number *ret);
/* What is wrong with a field that google.protobuf.Value does not have, in an encoded Value that has it:
 * an integer stands beside its number_value, in the one way that value_encode writes it. NULL: nothing.
 * For wire_msg.strange. */
const char *value_strange_field(uint32_t number, struct fm_bytes value);
/* Append the encoding, or nothing on failure; `depth` is where the value will stand: 1 on its
 * own, 3 in a list. Return 0, or -FM_INVALID_ARGUMENT (nested deeper than VALUE_MAX_DEPTH; not a
 * map). NULL is null, or an empty map. */
int value_encode(const struct fm_value *v, unsigned depth, struct fm_buf *out,
                 struct fm_err *err) FM_MUST_CHECK;
int value_encode_struct(const struct fm_value *map, struct fm_buf *out, struct fm_err *err) FM_MUST_CHECK;

#endif
