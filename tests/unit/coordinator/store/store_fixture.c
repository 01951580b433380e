/* See store_fixture.h. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "store_open.h"

struct store_fixture fx;

static void sqlite_url(char *url, size_t n)
{
    snprintf(url, n, "sqlite:/tmp/fermata-store-XXXXXX");
    assert_non_null(mkdtemp(url + strlen("sqlite:")));
}

static void sqlite_remove(const char *url)
{
    char command[160];
    snprintf(command, sizeof(command), "rm -rf %s", url + strlen("sqlite:"));
    assert_int_equal(system(command), 0);
}

const struct store_under_test sqlite_under_test = {"sqlite", sqlite_url, sqlite_remove};

static void notify(void *arg)
{
    (void)arg;
    sem_post(&fx.wake);
}

void store_reopen(void)
{
    fm_auto(fm_err) err = {0};
    const struct store_events events = {.notify = notify};
    fx.store = store_open(fx.url, &events, &err);
    if (fx.store == NULL)
        fail_msg("%s", err.msg);
}

int store_setup(void **state)
{
    (void)state;
    fx.kind->make_url(fx.url, sizeof(fx.url));
    fx.dir = strchr(fx.url, ':') + 1;
    sem_init(&fx.wake, 0, 0);
    store_reopen();
    return 0;
}

int store_teardown(void **state)
{
    (void)state;
    store_close(fx.store);
    sem_destroy(&fx.wake);
    fx.kind->remove(fx.url);
    return 0;
}

struct store_done *store_next_done(void)
{
    for (;;) {
        struct store_done *d = store_poll(fx.store);
        if (d != NULL)
            return d;
        sem_wait(&fx.wake);
    }
}

enum store_status store_commit(struct store_unit *u)
{
    store_submit(fx.store, u);
    struct store_done *d = store_next_done();
    enum store_status s = d->status;
    store_done_free(d);
    return s;
}

struct store_done *store_answer(struct store_query q)
{
    store_ask(fx.store, &q);
    struct store_done *d = store_next_done();
    assert_int_equal(d->kind, q.kind);
    assert_int_equal(d->tag, q.tag);
    return d;
}

struct fm_id store_job_id(uint8_t n)
{
    return (struct fm_id){
        {0, 0, 0, 0, 0, n, 1}
    };
}

void store_put_some_job(struct store_unit *u, uint8_t n, int status, bool is_new, const char *head)
{
    struct store_label label = {"team", n % 2 == 0 ? "even" : "odd"};
    struct store_job j = {.id = store_job_id(n),
                          .status = status,
                          .flow = "f",
                          .host = status == 2 ? "h" : "",
                          .head = fm_bytes_of(head),
                          .labels = &label,
                          .n_labels = 1,
                          .is_new = is_new};
    store_put_job(u, &j);
}
