/* What is stored together, and what follows from it when it is on disk. */
#ifndef FM_CORE_UNIT_H
#define FM_CORE_UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/jobs.pb-c.h"
#include "store.h"

struct core;
struct job;
struct effect;

/* A kind of effect; its owner defines it and has a constructor for it. */
struct effect_kind {
    const char *name;
    /* The unit is on disk. */
    void (*done)(struct core *c, struct job *job, struct effect *e);
    /* It is not, and will not be. NULL: nothing follows from that. */
    void (*failed)(struct core *c, struct effect *e, const struct fm_err *err);
    /* Once for the job, however many such effects the unit had, when all of them are done. May be
     * NULL. */
    void (*after)(struct core *c, struct job *job);
    /* The effect is freed, after done or failed, or instead of them at the core's end. May be NULL. */
    void (*drop)(struct core *c, struct effect *e);
};

struct effect {
    struct effect *prev, *next;
    const struct effect_kind *kind;
    uint64_t ticket;       /* of a reply */
    uint64_t conn;         /* of a host's stream */
    uint32_t number;       /* of a step or an input; or what its kind says */
    uint32_t epoch;        /* under which the job was */
    bool released;         /* the job has left its host */
    void *own;             /* as its kind says */
    struct fm_bytes bytes; /* behind the struct */
};

/* A unit of one job (or of a flow, or a host), and what follows from it. A job has at most one under
 * way; what happens meanwhile gathers in the next. */
struct unit {
    UT_hash_handle hh;
    uint64_t tag;
    struct job *job;            /* NULL: of none */
    struct store_unit *records; /* NULL once submitted */
    size_t bytes, *meter;       /* of the records, and where they are counted, once submitted */
    struct effect *effects;
    bool has_head; /* the head's encoding is in `head` */
    struct fm_buf head;
    int status;      /* in the head */
    int64_t wake_ms; /* the job's wake time in the head */
    bool creates, deletes;
    uint64_t request_ticket; /* the call whose request id the unit claims; 0: none */
    uint8_t request_digest[STORE_DIGEST_BYTES];
};

struct unit *unit_new(struct core *c, struct job *job);
/* The unit of the job that is being gathered. */
struct unit *unit_of(struct core *c, struct job *job);
/* Adds an effect with a copy of the bytes. */
struct effect *unit_effect(struct unit *u, const struct effect_kind *kind, struct fm_bytes bytes);
/* The call is answered with the message, or the bytes. */
void unit_reply(struct unit *u, uint64_t ticket, const ProtobufCMessage *response);
void unit_reply_bytes(struct unit *u, uint64_t ticket, struct fm_bytes response);
void unit_submit(struct core *c, struct unit *u);
void unit_free(struct core *c, struct unit *u);
/* Frees those that are under way. */
void units_free(struct core *c);
/* The unit has failed: so have its effects. */
void unit_fail_effects(struct core *c, struct unit *u, const struct fm_err *err);
/* Its request id was claimed before: that call gets the first reply again if the content is the same;
 * whoever shared the unit with it has to try again. */
void unit_exists(struct core *c, struct unit *u, const struct store_done *d);

/* The time of this input, for records. */
Google__Protobuf__Timestamp core_now(const struct core *c);
/* Tries again what failed, in a moment. */
void core_retry_later(struct core *c);
/* A job that is on disk wakes at this wall time. */
void timers_note(struct core *c, int64_t wake_ms);

#endif
