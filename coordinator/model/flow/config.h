/* Configurations of routines and data, against the schemas of routine types. */
#ifndef FM_FLOW_CONFIG_H
#define FM_FLOW_CONFIG_H

#include "arena.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "json_schema.h"
#include "known.h"

struct program_check;

/* Work for all configurations of a flow, on the loop that carries leases: about a tenth of a second. A flow
 * of a thousand agents with 16 tools each takes 5.4 million. */
#define FLOW_WORK 8000000u
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

/* Calls `add` for each agent for which no limits.max_turns is set. */
void flow_unbounded_agents(const Fermata__V1__Flow *f, void (*add)(void *arg, const char *routine),
                           void *arg);
/* Calls `add` for each tool of a routine whose calls no connection takes: nobody would answer them. */
void flow_untaken_tools(const Fermata__V1__Flow *f, const struct flow_types *known,
                        void (*add)(void *arg, const char *routine, const char *tool), void *arg);

#endif
