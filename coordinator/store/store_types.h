/* What is written and read alike. See store.h. */
#ifndef FM_STORE_TYPES_H
#define FM_STORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "id.h"

#define STORE_DIGEST_BYTES 32

struct store_label {
    const char *key;
    const char *value;
};

/* What of a job is a column, beside its encoded head. */
struct store_job {
    struct fm_id id;
    int status;       /* fermata.v1.JobStatus */
    const char *flow; /* name, "" for none */
    const char *host; /* "" for none; only a RUNNING job has one */
    struct fm_bytes head;
    const struct store_label *labels; /* read only when is_new */
    size_t n_labels;
    int64_t wake_ms; /* wall time at which store_list_due names it; 0: never */
    bool is_new;     /* insert: a row that exists fails the unit; else update: so does none */
};

/* What model calls used. */
struct store_amounts {
    uint64_t input_tokens, output_tokens, cached_tokens, calls;
    double cost;
};

/* What model calls of a job used on a day. */
struct store_usage {
    struct fm_id job;
    uint32_t day; /* since 1970 */
    const char *flow;
    struct store_amounts used;
};

#endif
