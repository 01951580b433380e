/* What the files of the simulated store share. Private to sim_store.c, sim_query.c. */
#ifndef SIM_STORE_INT_H
#define SIM_STORE_INT_H

#include <uthash.h>

#include "sim_store.h"

struct body {
    uint32_t number;
    struct fm_buf bytes;
};

/* What the journal says besides steps. */
struct stored_entry {
    uint32_t step, number;
    struct fm_buf bytes;
};

struct stored_generation {
    uint32_t number, step, inputs;
    struct fm_buf state;
};

struct bodies {
    struct body *items;
    size_t n;
};

struct stored_job {
    UT_hash_handle hh;
    struct fm_id id;
    int status;
    int64_t wake_ms;
    struct fm_buf head, snapshot;
    uint32_t snapshot_number;
    bool has_snapshot;
    struct bodies steps, inputs;
    struct stored_entry *entries; /* in order */
    size_t n_entries;
    struct stored_generation *generations;
    size_t n_generations;
    uint8_t digest[STORE_DIGEST_BYTES];
    uint64_t calls; /* of models, in the ledger */
};

struct stored_request {
    UT_hash_handle hh;
    char key[256];
    struct fm_id job;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf reply;
};

struct stored_def {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf body;
};

/* A version of a named flow, or what is remembered of a host. */
struct stored_named {
    UT_hash_handle hh;
    char key[256];
    uint32_t version; /* of a flow: the newest one; the others are not kept. Of a deleted one: the last */
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf body;
};

struct sim_store {
    struct stored_job *jobs;
    struct stored_request *requests;
    struct stored_def *defs;
    struct stored_named *flows, *hosts;
    struct stored_named *deleted; /* flows */
};

/* NULL: there is none. */
struct stored_job *stored_job(struct sim_store *s, const struct fm_id *id);
struct stored_request *stored_request(struct sim_store *s, const char *scope, const char *id);

struct done_node;
/* Puts what is known of a claimed request id into the completion. */
void stored_claim(struct done_node *n, const struct stored_request *r);

#endif
