/* What the files that check flows share. Private to flow.c and policy.c. */
#ifndef FM_FLOW_INT_H
#define FM_FLOW_INT_H

#include "flow.h"

#define FLOW_PATH_BYTES 128

/* Writes the path of a field; one that is too long is cut, as fm_err would cut it. */
void flow_path(char out[FLOW_PATH_BYTES], const char *fmt, ...) FM_PRINTF(2, 3);

#define FLOW_FAULT(err, field, ...) ((void)fm_err_add(err, FM_INVALID_ARGUMENT, field, __VA_ARGS__))

/* Checks a policy; NULL is fine. */
void flow_check_policy(const Fermata__V1__Policy *p, const char *path, struct fm_err *err);
/* Checks the flow's own numbers and its default policy. */
void flow_check_settings(const Fermata__V1__Flow *f, const char *path, struct fm_err *err);
/* Checks how a routine's slots merge data: not whether they exist. `is_target` tells whether a connection
 * leads to a slot of a routine. */
void flow_check_merges(const Fermata__V1__Routine *r, const char *path,
                       bool (*is_target)(void *arg, const char *routine, const char *slot), void *arg,
                       struct fm_err *err);
/* True when failures of the routine come out of it as event "error". */
bool flow_routes_errors(const Fermata__V1__Flow *f, const Fermata__V1__Routine *r);

/* ---- config.c ---- */

#define FLOW_VALUE_BYTES (64u << 20) /* memory for one value: much more than a request can have */

/* What the checks of a flow's configurations share. */
struct flow_values {
    struct fm_arena arena; /* for the value in hand */
    struct json_schema_work work;
    struct program_check *programs; /* NULL: they are not wanted */
};

/* Checks the configuration of a routine (at `path`) of a type; NULL: nobody knows it. */
void flow_check_config(const Fermata__V1__Routine *r, const struct type_spec *t, const char *path,
                       struct flow_values *w, struct fm_err *err);
/* Checks data against a JSON Schema that is sound and plain. Paths begin with `path`. */
void flow_check_data(const Google__Protobuf__Struct *data, const struct fm_value *schema, const char *path,
                     struct fm_err *err);

#endif
