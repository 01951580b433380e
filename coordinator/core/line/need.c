/* What a job needs of a host, as a key. See need.h. */
#include "need.h"

#include <stdlib.h>
#include <string.h>

#include "agreed.h"
#include "buf.h"
#include "defs.h"
#include "digest.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "job.h"
#include "mem.h"

typedef const Fermata__V1__Placement__LabelsEntry *label;

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const label *)a)->key, (*(const label *)b)->key);
}

static void add_text(struct fm_buf *b, const char *text)
{
    fm_buf_append(b, text, strlen(text) + 1);
}

static void add_labels(struct fm_buf *b, const Fermata__V1__Placement *p)
{
    label sorted[FM_MAX_LABELS];
    size_t n = p->n_labels < FM_MAX_LABELS ? p->n_labels : FM_MAX_LABELS; /* check_placement allows no more */
    for (size_t i = 0; i < n; i++)
        sorted[i] = p->labels[i];
    qsort(sorted, n, sizeof(sorted[0]), by_key);
    for (size_t i = 0; i < n; i++) {
        add_text(b, sorted[i]->key);
        add_text(b, sorted[i]->value);
    }
}

void need_key(const struct job *job, uint8_t ret[STORE_DIGEST_BYTES])
{
    const Fermata__V1__Placement *p = job->head->placement;
    fm_auto(fm_buf) b = {0};
    fm_buf_append(&b, job->def->types_digest, sizeof(job->def->types_digest));
    if (p != NULL) {
        bool relative = p->mode == PLACEMENT_MODE_SAME_HOST || p->mode == PLACEMENT_MODE_ANOTHER_HOST_ONLY;
        add_text(&b, p->host);
        add_text(&b, !relative ? "" : p->mode == PLACEMENT_MODE_SAME_HOST ? "same" : "other");
        add_text(&b, relative ? job->head->last_host : "");
        add_labels(&b, p);
    } else {
        fm_buf_append(&b, "\0\0\0", 3);
    }
    core_digest(fm_buf_bytes(&b), ret);
}
