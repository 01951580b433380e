/* Checks of breakpoints. Each error names the field of the request. */
#include "breakpoint_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "defs.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "flow.h"
#include "mem.h"
#include "name.h"
#include "pbc.h"
#include "program_check.h"
#include "routine_types.h"

#define MAX_BREAKPOINTS 100

int breakpoints_check(size_t n, Fermata__V1__Breakpoint *const *list, struct fm_err *err)
{
    if (n > MAX_BREAKPOINTS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "breakpoints", "%zu breakpoints; the limit is %d", n,
                          MAX_BREAKPOINTS);
    for (size_t i = 0; i < n; i++) {
        const Fermata__V1__Breakpoint *b = list[i];
        char field[64];
        snprintf(field, sizeof(field), "breakpoints[%zu].routine", i);
        if (strcmp(b->routine, "*") != 0 && fm_name_check(field, b->routine, err) < 0)
            return -FM_INVALID_ARGUMENT;
        snprintf(field, sizeof(field), "breakpoints[%zu].slot", i);
        if (b->slot[0] != '\0' && fm_name_check(field, b->slot, err) < 0)
            return -FM_INVALID_ARGUMENT;
        snprintf(field, sizeof(field), "breakpoints[%zu].condition", i);
        if (check_text(field, b->condition, err) < 0)
            return -FM_INVALID_ARGUMENT;
    }
    return 0;
}

void breakpoints_add_conditions(struct program_check *k, size_t n, Fermata__V1__Breakpoint *const *list)
{
    for (size_t i = 0; i < n; i++) {
        char field[64];
        snprintf(field, sizeof(field), "breakpoints[%zu].condition", i);
        if (list[i]->condition[0] != '\0')
            program_check_add_jq(k, field, list[i]->condition);
    }
}

int breakpoints_check_places(struct core *c, const struct flow_def *def, size_t n,
                             Fermata__V1__Breakpoint *const *list, struct fm_err *err)
{
    if (def == NULL || n == 0)
        return 0;
    fm_auto_pb Fermata__V1__Flow *flow = fermata__v1__flow__unpack(NULL, def->body.n, def->body.p);
    const struct flow_types known = {types_find, c};
    if (flow == NULL)
        return fm_err_set(err, FM_DATA_LOSS, "flow", "the flow of the job is malformed");
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        char path[64];
        snprintf(path, sizeof(path), "breakpoints[%zu]", i);
        rc = flow_check_place(flow, path, list[i]->routine, list[i]->slot, &known, err);
    }
    return rc;
}

void breakpoints_replace(Fermata__V1__Job *h, size_t n, Fermata__V1__Breakpoint *const *list)
{
    for (size_t i = 0; i < h->n_breakpoints; i++)
        fermata__v1__breakpoint__free_unpacked(h->breakpoints[i], NULL);
    free(h->breakpoints);
    h->breakpoints = n == 0 ? NULL : fm_xcalloc(n, sizeof(*h->breakpoints));
    h->n_breakpoints = n;
    for (size_t i = 0; i < n; i++)
        h->breakpoints[i] = pb_clone(list[i]);
}
