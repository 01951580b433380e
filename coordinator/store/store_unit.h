/* What is written: units of records. A unit is applied whole or not at all; everything put into
 * it is copied. See store.h. */
#ifndef FM_STORE_UNIT_H
#define FM_STORE_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "id.h"
#include "store_types.h"

struct store_unit;

/* A new empty unit. `tag` comes back with the completion. */
struct store_unit *store_unit_new(uint64_t tag);
void store_unit_free(struct store_unit *u);
/* How much memory its records take. */
size_t store_unit_bytes(const struct store_unit *u);

/* Claims a request id within `scope` ("submit", or a verb with a job id's text). When it was
 * claimed before, nothing of the unit is applied, and its completion is STORE_EXISTS with the
 * earlier claim. At most one in a unit. */
void store_put_request(struct store_unit *u, const char *scope, const char *request_id,
                       const uint8_t digest[STORE_DIGEST_BYTES], const struct fm_id *job,
                       struct fm_bytes reply);
/* Inserts or updates a job's row. */
void store_put_job(struct store_unit *u, const struct store_job *job);
/* Appends a step; a number that exists fails the unit. */
void store_put_step(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes step);
/* Appends an input; a number that exists fails the unit. */
void store_put_input(struct store_unit *u, const struct fm_id *job, uint32_t number, struct fm_bytes task);
/* Appends what the journal says besides steps, after step `step`; numbers are a job's, and grow with the
 * steps. One that exists fails the unit. */
void store_put_entry(struct store_unit *u, const struct fm_id *job, uint32_t step, uint32_t number,
                     struct fm_bytes entry);
/* Replaces a job's snapshot; it covers all steps up to `number` and all inputs up to
 * `inputs_through`. */
void store_put_snapshot(struct store_unit *u, const struct fm_id *job, uint32_t number,
                        uint32_t inputs_through, struct fm_bytes state);
/* Begins a generation of a job with this step: its state after that takes the place of the snapshot, and of
 * the state with which the generation before began. */
void store_put_generation(struct store_unit *u, const struct fm_id *job, uint32_t generation, uint32_t step,
                          uint32_t inputs_through, struct fm_bytes state);
/* Removes the steps, entries and inputs of the generations before this one, which is not the first. */
void store_delete_history(struct store_unit *u, const struct fm_id *job, uint32_t generation);
/* Removes a job with its steps, inputs, entries, generations, snapshot, labels and requests. */
void store_delete_job(struct store_unit *u, const struct fm_id *job);

/* Stores a definition by its digest; storing it twice is fine. */
void store_put_flow_def(struct store_unit *u, const uint8_t digest[STORE_DIGEST_BYTES], struct fm_bytes flow);
/* Stores a named version of a definition. An existing (name, version) fails the unit. */
void store_put_flow(struct store_unit *u, const char *name, uint32_t version,
                    const uint8_t digest[STORE_DIGEST_BYTES], struct fm_bytes summary);
/* Removes all versions of a name; definitions stay for the jobs that use them, and it stays known which
 * numbers the versions have had. */
void store_delete_flow(struct store_unit *u, const char *name);

/* Stores what is remembered of a host; replaces an earlier record. */
void store_put_host(struct store_unit *u, const char *host_id, struct fm_bytes host);
void store_delete_host(struct store_unit *u, const char *host_id);

/* Adds to the ledger; it outlives the job. */
void store_add_usage(struct store_unit *u, const struct store_usage *usage);

#endif
