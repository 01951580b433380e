/* Values: what JSON can say. Part of Fermata's routine API (fermata/routine.h): stable C ABI.
 * Read-only; made by the builders of the routine API, valid until the step is finished. */
#ifndef FERMATA_VALUE_H
#define FERMATA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fm_value;
enum fm_value_kind { FM_NULL, FM_BOOL, FM_NUMBER, FM_STRING, FM_LIST, FM_MAP };

/* The kind of a value; NULL is FM_NULL. */
enum fm_value_kind fm_value_kind(const struct fm_value *v);
/* What the value is, or `fallback` when it is of another kind. Strings are UTF-8,
 * NUL-terminated, without NUL inside. */
bool fm_value_bool(const struct fm_value *v, bool fallback);
double fm_value_number(const struct fm_value *v, double fallback);
const char *fm_value_string(const struct fm_value *v, const char *fallback);
/* Numbers are integers of int64 and uint64, exactly, and doubles; fm_value_number gives the nearest
 * double of all. These give an integer: true when the value is one of that type. */
bool fm_value_int64(const struct fm_value *v, int64_t *ret);
bool fm_value_uint64(const struct fm_value *v, uint64_t *ret);
/* Length of a string in bytes, number of elements of a list or a map; else 0. */
size_t fm_value_size(const struct fm_value *v);
/* Element `i` of a list, value `i` of a map (in the order of the keys' setting); NULL beyond the
 * end. */
const struct fm_value *fm_value_at(const struct fm_value *v, size_t i);
/* Key `i` of a map; NULL beyond the end. */
const char *fm_value_key(const struct fm_value *v, size_t i);
/* The value at a path such as "user.addresses[0].city"; NULL when there is none. A key with '.'
 * or '[' in it cannot be reached this way. */
const struct fm_value *fm_value_get(const struct fm_value *v, const char *path);

#endif
