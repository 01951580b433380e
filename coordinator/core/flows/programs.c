/* jq programs and JSON Schemas of requests: what of them is known to be sound, and requests that wait for the
 * others to be checked. See programs.h. */
#include "programs.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "answer_check.h"
#include "err.h"
#include "log.h"
#include "mem.h"
#include "method.h"
#include "op.h"
#include "program_check.h"
#include "state.h"
#include "store.h"

#define MAX_SOUND 8192 /* digests that are remembered */
#define MAX_CHECKS 64  /* requests that wait for programs; and as many for answers */
#define RETRY_CHECK_MS 1000

struct sound {
    UT_hash_handle hh;
    uint8_t digest[STORE_DIGEST_BYTES];
};

struct check_wait {
    UT_hash_handle hh;
    uint64_t tag;
    struct op *op;
    bool is_answer;
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

static bool is_full(const struct core *c, const struct program_check *k)
{
    size_t n = 0;
    struct check_wait *w, *next;
    HASH_ITER (hh, c->checks, w, next)
        n += w->is_answer == program_check_is_answer(k);
    return n >= MAX_CHECKS;
}

/* Parks the op until the check is done, and true; or false, with err: too many wait. */
static bool give_away(struct core *c, struct op *op, struct program_check *k, struct fm_err *err)
{
    if (is_full(c, k)) {
        (void)fm_err_set(
            err, FM_RESOURCE_EXHAUSTED, NULL, "%d requests wait for their %s: try again later", MAX_CHECKS,
            program_check_is_answer(k) ? "answers to be checked" : "jq programs and schemas to be checked");
        (void)fm_err_retry(err, RETRY_CHECK_MS);
        program_check_free(k);
        return false;
    }
    struct check_wait *w = fm_xcalloc(1, sizeof(*w));
    w->tag = k->tag = ++c->next_tag;
    w->op = op;
    w->is_answer = program_check_is_answer(k);
    op_park(op);
    HASH_ADD(hh, c->checks, tag, sizeof(w->tag), w);
    if (w->is_answer)
        FM_LOG(DEBUG, FLOW, "a request waits for its answer to be checked");
    else
        FM_LOG(DEBUG, FLOW, "a request waits for its jq programs and schemas to be checked",
               FM_U64("programs", k->n));
    c->io.check(c->io.arg, k);
    fm_err_done(err);
    return true;
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
    return !give_away(c, op, k, err);
}

static int verdict(const struct program_check *k, struct fm_err *err)
{
    if (k->err.code == FM_OK && k->skipped[0] == '\0')
        return 0;
    if (k->err.code == FM_OK)
        return fm_err_set(err, FM_UNAVAILABLE, "answer", "the answer could not be checked: %s", k->skipped);
    fm_err_copy(err, &k->err);
    return -(int)err->code;
}

int programs_check_answer(struct core *c, struct op *op, const Fermata__V1__Pause *pause,
                          const Google__Protobuf__Value *answer, struct fm_err *err)
{
    if (c->io.check == NULL)
        return answer_check(pause, answer, err);
    int rc = answer_check_brief(pause, answer, err);
    if (rc != -FM_RESOURCE_EXHAUSTED)
        return rc;
    struct program_check *k = program_check_new();
    program_check_add_answer(k, pause, answer);
    if (op->check != NULL && program_check_same(op->check, k)) {
        program_check_free(k);
        return verdict(op->check, err);
    }
    program_check_free(op->check); /* of another question, which is not open any more */
    op->check = NULL;
    return give_away(c, op, k, err) ? OP_WAITS : -(int)err->code;
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
    bool is_answer = w->is_answer;
    free(w);
    for (size_t i = 0; i < k->n && !is_answer; i++)
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
