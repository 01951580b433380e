/* Copies of queries. See store_query.h. */
#include "store_query.h"

#include <string.h>

#include "mem.h"

static void *copy_bytes(struct fm_arena *a, const void *p, size_t n)
{
    if (n == 0)
        return NULL;
    void *copy = fm_arena_alloc(a, n);
    if (copy == NULL)
        fm_abort_oom(n);
    return memcpy(copy, p, n);
}

static const char *copy_text(struct fm_arena *a, const char *s)
{
    return s == NULL ? NULL : copy_bytes(a, s, strlen(s) + 1);
}

static void own_filter(struct store_filter *f, struct fm_arena *a)
{
    struct store_label *labels = copy_bytes(a, f->labels, f->n_labels * sizeof(*labels));
    for (size_t i = 0; i < f->n_labels; i++) {
        labels[i].key = copy_text(a, labels[i].key);
        labels[i].value = copy_text(a, labels[i].value);
    }
    f->labels = labels;
    f->statuses = copy_bytes(a, f->statuses, f->n_statuses * sizeof(*f->statuses));
    f->flow = copy_text(a, f->flow);
    f->host = copy_text(a, f->host);
}

struct store_query query_copy(const struct store_query *q, struct fm_arena *a)
{
    struct store_query copy = *q;
    switch (q->kind) {
    case STORE_READ_REQUEST:
        copy.request.scope = copy_text(a, q->request.scope);
        copy.request.id = copy_text(a, q->request.id);
        break;
    case STORE_READ_FLOW:
        copy.flow.name = copy_text(a, q->flow.name);
        break;
    case STORE_LIST_JOBS:
        own_filter(&copy.jobs.filter, a);
        break;
    case STORE_COUNT_JOBS:
        own_filter(&copy.counts.filter, a);
        break;
    case STORE_LIST_FLOWS:
        copy.flows.after = copy_text(a, q->flows.after);
        break;
    case STORE_SUM_USAGE:
        copy.usage.label_key = copy_text(a, q->usage.label_key);
        copy.usage.flow = copy_text(a, q->usage.flow);
        break;
    case STORE_UNIT:
    case STORE_READ_JOB:
    case STORE_READ_STEPS:
    case STORE_READ_JOURNAL:
    case STORE_READ_GENERATION:
    case STORE_READ_INPUTS:
    case STORE_READ_FLOW_DEF:
    case STORE_LIST_ACTIVE:
    case STORE_LIST_DUE:
    case STORE_LIST_HOSTS:
        break;
    }
    return copy;
}
