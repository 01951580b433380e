/* The flow that a submit wants, and the check of a whole flow. */
#ifndef FM_CORE_WANTED_H
#define FM_CORE_WANTED_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "flow.h"

struct core;
struct flow_def;
struct op;

/* Checks all of a flow, its programs and schemas, too. 0: it is sound; OP_WAITS; else err has all
 * faults. Paths begin with `path`. */
int flow_check(struct core *c, struct op *op, const Fermata__V1__Flow *flow, const char *path,
               enum flow_use use, struct fm_err *err) FM_MUST_CHECK;

/* The definition that a submit wants, validated, with a reference, and what it is called. Returns 0,
 * OP_WAITS, or -code. */
int flow_for_submit(struct core *c, struct op *op, const Fermata__V1__SubmitJobRequest *r,
                    struct flow_def **ret, const char **ret_name, uint32_t *ret_version,
                    struct fm_err *err) FM_MUST_CHECK;
/* Frees what it keeps in op->own. */
void flow_wanted_free(struct core *c, void *own);

#endif
