/* Definitions of flows in memory, and the newest versions of their names. A definition lives as long as a job
 * or a unit holds a reference. */
#ifndef FM_CORE_FLOWS_DEFS_H
#define FM_CORE_FLOWS_DEFS_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "buf.h"
#include "fermata/v1/types.pb-c.h"
#include "job_limits.h"
#include "store.h"

struct core;
struct unit;

/* A definition of a flow, shared by the jobs that use it. */
struct flow_def {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
    struct fm_buf body;      /* encoded Flow */
    Fermata__V1__Flow *flow; /* decoded, once a submit has wanted it; NULL if it is large */
    char **types;            /* the routine types it needs, each once */
    size_t n_types;
    uint8_t types_digest[STORE_DIGEST_BYTES]; /* of these, in any order */
    uint32_t parallelism;
    uint64_t deadline_ms;
    struct limits limits;
    uint32_t min_losses; /* the smallest max_losses of any routine; 0: none has a limit */
    size_t refs;
    bool on_disk;
};

/* The newest version of a name, as far as known. */
struct flow_name {
    UT_hash_handle hh;
    char *name;
    uint32_t version;    /* the newest; 0: deleted or never there */
    uint32_t n_versions; /* how many there are */
    uint32_t used;       /* the highest number that one has had: none gets it again */
    uint8_t digest[STORE_DIGEST_BYTES];
    uint64_t put_tag; /* unit that brings it, perhaps still on its way to the disk */
};

struct flow_def *def_find(struct core *c, const uint8_t digest[STORE_DIGEST_BYTES]);
/* Takes a reference. */
struct flow_def *def_add(struct core *c, const Fermata__V1__Flow *flow, struct fm_bytes body,
                         const uint8_t digest[STORE_DIGEST_BYTES], bool on_disk);
void def_unref(struct core *c, struct flow_def *def);
/* The definition is on disk with the unit; takes over a reference. */
void def_effect(struct unit *u, struct flow_def *def);
/* The canonical encoding: maps sorted, without the version. */
void flow_encode(const Fermata__V1__Flow *flow, struct fm_buf *body, uint8_t digest[STORE_DIGEST_BYTES]);

/* What is known of a name, or NULL. */
struct flow_name *name_find(struct core *c, const char *name);
/* Remembers what the store knows of the versions of a name. */
struct flow_name *name_set(struct core *c, const char *name, const struct store_flow_version *v);
/* A version is added, under a number that none has had; or all are deleted. */
void name_add_version(struct flow_name *n, const uint8_t digest[STORE_DIGEST_BYTES]);
void name_delete_versions(struct flow_name *n);
/* The name changes with the unit: it is forgotten if that fails. */
void name_effect(struct unit *u, const char *name);

void strings_free(char **list, size_t n);
void defs_free(struct core *c);

#endif
