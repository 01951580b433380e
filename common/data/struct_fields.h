/* Numbers of the fields of google/protobuf/struct.proto: values are read and written by hand. */
#ifndef FM_STRUCT_FIELDS_H
#define FM_STRUCT_FIELDS_H

enum { VALUE_NULL = 1, VALUE_NUMBER = 2, VALUE_STRING = 3, VALUE_BOOL = 4, VALUE_STRUCT = 5, VALUE_LIST = 6 };
enum { STRUCT_FIELDS = 1, ENTRY_KEY = 1, ENTRY_VALUE = 2, LIST_VALUES = 1 };

/* Fermata's own, on a Value inside Fermata: the integer that number_value is the nearest double of, a
 * varint, as int64 when number_value is negative. Only beyond ±2^53; so whoever does not know it sees
 * what a double can say. */
enum { VALUE_INTEGER = 1001 };

#endif
