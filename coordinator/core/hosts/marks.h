/* What is remembered of hosts beyond their stay and the coordinator's: it is stored. */
#ifndef FM_CORE_HOSTS_MARKS_H
#define FM_CORE_HOSTS_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>
#include <uthash.h>

#include "fermata/v1/hosts.pb-c.h"
#include "who.h"

struct core;
struct host;

/* What of a host outlives its stay, and the coordinator: it is stored. */
struct host_mark {
    UT_hash_handle hh;
    char *id, *incarnation; /* "": it is not there */
    bool cordoned, draining;
    Fermata__V1__Entry **acts; /* what operators did with it: the last ones, oldest first */
    size_t n_acts;
    size_t n_units; /* with it, under way to the disk */
    bool unsaved;   /* one of them failed since it was last sent there */
};

/* Gives a new record of a host what is remembered of it. */
void mark_apply(struct core *c, struct host *h);
/* The host has attached. */
void mark_attached(struct core *c, const struct host *h);
/* What is remembered of a host; made if there is nothing yet. */
struct host_mark *mark_get(struct core *c, const char *id);
/* An operator has done this with it. */
void mark_note(const struct core *c, struct host_mark *m, Fermata__V1__EntryKind kind, struct who who);
/* Takes what was stored of its acts. */
void mark_take_acts(struct host_mark *m, const Fermata__V1__Host *stored);
/* Shows them in a view of the host. */
void mark_put_acts(const struct host_mark *m, Fermata__V1__Host *view);
/* Who drains the host, and why, as far as that is known. */
struct who mark_drained_by(const struct host_mark *m);
/* Stores it; then `answer` (may be NULL) goes to the ticket. */
void mark_save(struct core *c, struct host_mark *m, uint64_t ticket, const ProtobufCMessage *answer);
/* Stores again what could not be stored. */
void marks_retry(struct core *c);
void marks_free(struct core *c);
/* What is remembered of a host, or NULL. */
struct host_mark *mark_find(struct core *c, const char *id);
/* The mark as a host that is away; free with fermata__v1__host__free_unpacked. */
Fermata__V1__Host *mark_view(const struct host_mark *m);

#endif
