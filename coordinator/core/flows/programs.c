/* jq programs and JSON Schemas of requests: what of them is known to be sound, and requests that wait for the
 * others to be checked. See program_check.h. */
#include "programs.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "err.h"
#include "log.h"
#include "mem.h"
#include "op.h"
#include "program_check.h"
#include "state.h"
#include "store.h"

#define MAX_SOUND 8192 /* digests that are remembered */
#define MAX_CHECKS 64  /* requests that wait */
#define RETRY_CHECK_MS 1000

struct sound {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
};

struct check_wait {
    UT_hash_handle hh;
    uint64_t tag;
    struct op *op;
};

static bool is_sound(struct core *c, const struct program *p)
{
    struct sound *s;
    HASH_FIND(hh, c->sound, p->digest, STORE_DIGEST_BYTES, s);
    return s != NULL;
}

static void remember(struct core *c, const struct program *p)
{
    if (!p->ok || is_sound(c, p))
        return;
    if (HASH_COUNT(c->sound) >= MAX_SOUND) {
        struct sound *oldest = c->sound;
        HASH_DEL(c->sound, oldest);
        free(oldest);
    }
    struct sound *s = fm_xcalloc(1, sizeof(*s));
    memcpy(s->digest, p->digest, STORE_DIGEST_BYTES);
    HASH_ADD(hh, c->sound, digest, STORE_DIGEST_BYTES, s);
}

static void add_faults(const struct fm_err *from, struct fm_err *err)
{
    if (from->code != FM_OK && from->n_more == 0)
        (void)fm_err_add(err, from->code, from->field, "%s", from->msg);
    for (size_t i = 0; i < from->n_more; i++)
        (void)fm_err_add(err, from->code, from->more[i].field, "%s", from->more[i].msg);
    err->n_cut += from->n_cut;
}

/* Leaves what is to be checked. */
static void drop_known(struct core *c, struct program_check *k)
{
    for (size_t i = k->n; i-- > 0;)
        if (is_sound(c, &k->programs[i]))
            program_check_drop(k, i);
}

bool programs_checked(struct core *c, struct op *op, struct program_check *k, struct fm_err *err)
{
    if (c->io.check == NULL || op->check != NULL) {
        program_check_free(k);
        if (op->check != NULL)
            add_faults(&op->check->err, err);
        return true;
    }
    drop_known(c, k);
    if (k->n == 0) {
        program_check_free(k);
        return true;
    }
    if (HASH_COUNT(c->checks) >= MAX_CHECKS) {
        program_check_free(k);
        (void)fm_err_set(err, FM_RESOURCE_EXHAUSTED, NULL,
                         "%d requests wait for their jq programs and schemas to be checked: try again later",
                         MAX_CHECKS);
        (void)fm_err_retry(err, RETRY_CHECK_MS);
        return true;
    }
    struct check_wait *w = fm_xcalloc(1, sizeof(*w));
    w->tag = k->tag = ++c->next_tag;
    w->op = op;
    op_park(op);
    HASH_ADD(hh, c->checks, tag, sizeof(w->tag), w);
    FM_LOG(DEBUG, FLOW, "a request waits for its jq programs and schemas to be checked",
           FM_U64("programs", k->n));
    c->io.check(c->io.arg, k);
    fm_err_done(err);
    return false;
}

void programs_done(struct core *c, struct program_check *k)
{
    struct check_wait *w;
    HASH_FIND(hh, c->checks, &k->tag, sizeof(k->tag), w);
    if (w == NULL) {
        program_check_free(k);
        return;
    }
    HASH_DEL(c->checks, w);
    struct op *op = w->op;
    free(w);
    for (size_t i = 0; i < k->n; i++)
        remember(c, &k->programs[i]);
    if (k->skipped[0] != '\0')
        FM_LOG(WARN, FLOW, "jq programs or schemas were not checked", FM_STR("why", k->skipped));
    op->check = k;
    op_run(c, op);
}

void programs_free(struct core *c)
{
    struct check_wait *w, *next_wait;
    HASH_ITER (hh, c->checks, w, next_wait) {
        HASH_DEL(c->checks, w);
        op_free(c, w->op);
        free(w);
    }
    struct sound *s, *next;
    HASH_ITER (hh, c->sound, s, next) {
        HASH_DEL(c->sound, s);
        free(s);
    }
}
