/* What is remembered of hosts beyond their stay and the coordinator's: whether they take work, and who they
 * were when they were last here.
 *
 * What is remembered is changed at once and stored right away; an answer waits for the disk. When it cannot
 * be stored the call fails, what it wanted holds all the same, and is stored again until it is on disk. A
 * host of which nothing is to be remembered is forgotten when the disk has forgotten it: until then an
 * operator can repeat what failed. */
#include "marks.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fields.h"
#include "host.h"
#include "job.h"
#include "mem.h"
#include "pbc.h"
#include "state.h"
#include "store.h"
#include "unit.h"

struct host_mark *mark_find(struct core *c, const char *id)
{
    struct host_mark *m;
    HASH_FIND_STR(c->marks, id, m);
    return m;
}

struct host_mark *mark_get(struct core *c, const char *id)
{
    struct host_mark *m = mark_find(c, id);
    if (m != NULL)
        return m;
    m = fm_xcalloc(1, sizeof(*m));
    m->id = fm_xstrdup(id);
    m->incarnation = fm_xstrdup("");
    HASH_ADD_KEYPTR(hh, c->marks, m->id, strlen(m->id), m);
    return m;
}

/* ---- what operators did ---- */

#define MAX_ACTS 16

static void forget_acts(struct host_mark *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fermata__v1__entry__free_unpacked(m->acts[i], NULL);
    m->n_acts -= n;
    if (m->n_acts > 0)
        memmove(m->acts, m->acts + n, m->n_acts * sizeof(*m->acts));
}

static void add_act(struct host_mark *m, const Fermata__V1__Entry *e)
{
    if (m->acts == NULL)
        m->acts = fm_xcalloc(MAX_ACTS, sizeof(*m->acts));
    if (m->n_acts == MAX_ACTS)
        forget_acts(m, 1);
    m->acts[m->n_acts++] = pb_clone(e);
}

void mark_note(const struct core *c, struct host_mark *m, Fermata__V1__EntryKind kind, struct who who)
{
    Fermata__V1__Entry e = FERMATA__V1__ENTRY__INIT;
    Google__Protobuf__Timestamp now = core_now(c);
    e.kind = kind;
    e.by = (char *)(uintptr_t)who.by;
    e.reason = (char *)(uintptr_t)who.reason;
    e.at = &now;
    add_act(m, &e);
}

void mark_take_acts(struct host_mark *m, const Fermata__V1__Host *stored)
{
    for (size_t i = 0; i < stored->n_acts; i++)
        add_act(m, stored->acts[i]);
}

void mark_put_acts(const struct host_mark *m, Fermata__V1__Host *view)
{
    size_t n = m == NULL ? 0 : m->n_acts;
    view->acts = n == 0 ? NULL : fm_xcalloc(n, sizeof(*view->acts));
    for (view->n_acts = 0; view->n_acts < n; view->n_acts++)
        view->acts[view->n_acts] = pb_clone(m->acts[view->n_acts]);
}

struct who mark_drained_by(const struct host_mark *m)
{
    for (size_t i = m == NULL ? 0 : m->n_acts; i-- > 0;)
        if (m->acts[i]->kind == ENTRY_KIND_DRAINED)
            return (struct who){m->acts[i]->by, m->acts[i]->reason};
    return who_none("its host is drained");
}

static void mark_free(struct core *c, struct host_mark *m)
{
    HASH_DEL(c->marks, m);
    forget_acts(m, m->n_acts);
    free(m->acts);
    free(m->id);
    free(m->incarnation);
    free(m);
}

Fermata__V1__Host *mark_view(const struct host_mark *m)
{
    Fermata__V1__Host v = FERMATA__V1__HOST__INIT;
    v.host_id = m->id;
    v.status = HOST_STATUS_AWAY;
    v.cordoned = m->cordoned;
    v.draining = m->draining;
    v.acts = m->acts;
    v.n_acts = m->n_acts;
    return pb_clone(&v);
}

static bool is_to_be_remembered(const struct host_mark *m)
{
    return m->cordoned || m->incarnation[0] != '\0';
}

/* A unit with what is remembered of the host has ended. */
static void mark_ended(struct core *c, const char *id, bool ok)
{
    struct host_mark *m = mark_find(c, id);
    m->n_units--;
    m->unsaved = m->unsaved || !ok;
    if (m->n_units == 0 && !m->unsaved && !is_to_be_remembered(m))
        mark_free(c, m);
}

static void mark_done(struct core *c, struct job *job, struct effect *e)
{
    (void)job;
    mark_ended(c, (const char *)e->bytes.p, true);
}

static void mark_failed(struct core *c, struct effect *e, const struct fm_err *err)
{
    (void)err;
    mark_ended(c, (const char *)e->bytes.p, false);
}

static const struct effect_kind mark_effect = {"host mark", mark_done, mark_failed, NULL, NULL};

/* Puts it into the unit, or has the disk forget it when there is nothing to remember. */
static void mark_put(struct unit *unit, struct host_mark *m)
{
    m->n_units++;
    m->unsaved = false;
    if (is_to_be_remembered(m)) {
        fm_auto_pb Fermata__V1__Host *v = mark_view(m);
        fm_auto(fm_buf) b = {0};
        pb_set_string(&v->incarnation, m->incarnation); /* which is shown to nobody */
        pb_pack(v, &b);
        store_put_host(unit->records, m->id, fm_buf_bytes(&b));
    } else {
        store_delete_host(unit->records, m->id);
    }
    unit_effect(unit, &mark_effect, (struct fm_bytes){(const uint8_t *)m->id, strlen(m->id) + 1});
}

void mark_save(struct core *c, struct host_mark *m, uint64_t ticket, const ProtobufCMessage *answer)
{
    struct unit *unit = unit_new(c, NULL);
    mark_put(unit, m);
    if (answer != NULL)
        unit_reply(unit, ticket, answer);
    unit_submit(c, unit);
}

void marks_retry(struct core *c)
{
    struct unit *unit = NULL; /* one for all: as long as the store fails that is one line in the log */
    for (struct host_mark *m = c->marks; m != NULL; m = m->hh.next) {
        if (!m->unsaved)
            continue;
        if (unit == NULL)
            unit = unit_new(c, NULL);
        mark_put(unit, m);
    }
    if (unit != NULL)
        unit_submit(c, unit);
}

void mark_apply(struct core *c, struct host *h)
{
    const struct host_mark *m = mark_find(c, h->id);
    if (m == NULL)
        return;
    h->cordoned = m->cordoned;
    h->draining = m->draining;
    if (m->incarnation[0] != '\0')
        h->incarnation = fm_xstrdup(m->incarnation);
}

void mark_attached(struct core *c, const struct host *h)
{
    struct host_mark *m = mark_get(c, h->id);
    if (strcmp(m->incarnation, h->incarnation) == 0)
        return;
    free(m->incarnation);
    m->incarnation = fm_xstrdup(h->incarnation);
    mark_save(c, m, 0, NULL);
}

void marks_free(struct core *c)
{
    struct host_mark *m, *tmp;
    HASH_ITER (hh, c->marks, m, tmp)
        mark_free(c, m);
}
