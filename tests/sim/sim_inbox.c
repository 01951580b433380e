/* Who lists the open questions of all jobs, page by page. What is open all the while must be among them,
 * once. See sim.h. */
#include "sim_inbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "mem.h"
#include "sim_clients.h"

struct inbox {
    bool open, asked; /* it is under way; … and a page is awaited */
    char token[32];
    struct listed {
        char job[32], pause[64];
        size_t times;
        bool closed; /* for a while, at least: its job had ended */
    } * wanted;
    size_t n;
};

static struct inbox *inbox(void)
{
    if (w.inbox == NULL)
        w.inbox = fm_xcalloc(1, sizeof(*w.inbox));
    return w.inbox;
}

void inbox_forget(void)
{
    if (w.inbox != NULL)
        free(w.inbox->wanted);
    free(w.inbox);
    w.inbox = NULL;
}

static void add_open(void *arg, const Fermata__V1__Job *h, int64_t wake_ms)
{
    struct inbox *b = arg;
    (void)wake_ms;
    for (size_t i = 0; i < h->n_pauses; i++) {
        b->wanted = fm_xrealloc(b->wanted, (b->n + 1) * sizeof(*b->wanted));
        struct listed *l = &b->wanted[b->n++];
        snprintf(l->job, sizeof(l->job), "%s", h->job_id);
        snprintf(l->pause, sizeof(l->pause), "%.63s", h->pauses[i]->pause_id);
        l->times = 0;
        l->closed = job_status_final((int)h->status);
    }
}

static void ask(struct inbox *b)
{
    Fermata__V1__ListPausesRequest r = FERMATA__V1__LIST_PAUSES_REQUEST__INIT;
    r.page_size = 1 + (uint32_t)rnd(3);
    r.page_token = b->token;
    b->asked = true;
    request("Jobs/ListPauses", OP_INBOX, NO_JOB, 0, "", &r.base);
}

void inbox_list(void)
{
    struct inbox *b = inbox();
    if (b->asked || w.core == NULL || !w.core_ready)
        return;
    if (b->open) { /* the next page */
        ask(b);
        return;
    }
    free(b->wanted);
    b->wanted = NULL;
    b->n = 0;
    b->token[0] = '\0';
    b->open = true;
    sim_store_each_job(w.store, add_open, b);
    ask(b);
}

static bool is_open(const struct listed *l)
{
    Fermata__V1__Job *h = sim_store_head(w.store, l->job);
    bool found = false;
    for (size_t i = 0; h != NULL && !job_status_final((int)h->status) && i < h->n_pauses; i++)
        found = found || strcmp(h->pauses[i]->pause_id, l->pause) == 0;
    if (h != NULL)
        fermata__v1__job__free_unpacked(h, NULL);
    return found;
}

void inbox_stored(void)
{
    struct inbox *b = w.inbox;
    for (size_t i = 0; b != NULL && b->open && i < b->n; i++)
        b->wanted[i].closed = b->wanted[i].closed || !is_open(&b->wanted[i]);
}

static void count(struct inbox *b, const Fermata__V1__OpenPause *p)
{
    for (size_t i = 0; i < b->n; i++)
        b->wanted[i].times +=
            strcmp(b->wanted[i].job, p->job_id) == 0 && strcmp(b->wanted[i].pause, p->pause->pause_id) == 0;
}

static void check(const struct inbox *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->wanted[i].times > 1 || (b->wanted[i].times == 0 && !b->wanted[i].closed))
            wrong("pause %s of job %s is listed %zu times", b->wanted[i].pause, b->wanted[i].job,
                  b->wanted[i].times);
}

void inbox_page(struct fm_bytes bytes, const struct fm_err *err)
{
    struct inbox *b = inbox();
    b->asked = false;
    if (err != NULL) {
        b->open = false;
        return;
    }
    Fermata__V1__ListPausesResponse *r = fermata__v1__list_pauses_response__unpack(NULL, bytes.n, bytes.p);
    trace("%zu pauses are listed after \"%s\", more after \"%s\"", r->n_pauses, b->token, r->next_page_token);
    for (size_t i = 0; i < r->n_pauses; i++)
        count(b, r->pauses[i]);
    snprintf(b->token, sizeof(b->token), "%s", r->next_page_token);
    fermata__v1__list_pauses_response__free_unpacked(r, NULL);
    b->open = b->token[0] != '\0';
    if (b->open)
        after(1 + (int64_t)rnd(20), EV_INBOX)->id = 1;
    else
        check(b);
}
