/* See llm_rig.h. */
#include "llm_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent.h"
#include "json_text.h"

static struct fm_ctx fake;
struct fm_ctx *const ctx = &fake;

int rig_init(void **state)
{
    (void)state;
    fake_init(ctx, &llm_agent_type);
    return 0;
}

int rig_done(void **state)
{
    (void)state;
    fake_done(ctx);
    return 0;
}

void configure(const char *provider, const char *more)
{
    char config[2000];
    (void)snprintf(config, sizeof(config), "{'provider':'%s','model':'m','tools':[{'name':'look'}]%s}",
                   provider, more);
    ctx->config = fake_json(ctx, config);
}

void ask(void)
{
    if (fake_run(ctx, "trigger", "{'task':'Go.'}") != 0)
        fail_msg("%s", ctx->failure);
    assert_non_null(ctx->on_response);
}

const struct fm_value *sent(const char *path)
{
    struct fm_err err = {0};
    const struct fm_value *v = ctx_json(ctx, ctx->request.body, ctx->request.body_bytes, &err);
    assert_non_null(v);
    return fm_value_get(v, path);
}

int respond_as(const char *headers, const char *quoted)
{
    char *body = json_text(quoted);
    if (ctx->on_chunk != NULL && fake_piece(ctx, body) != 0) {
        free(body);
        char first[sizeof(ctx->failure)]; /* the first fault is the one that counts */
        memcpy(first, ctx->failure, sizeof(first));
        const struct fm_http_response none = {.error = "the response was refused", .headers = "", .body = ""};
        assert_int_equal(fake_respond(ctx, &none), -1);
        memcpy(ctx->failure, first, sizeof(first));
        return -1;
    }
    const struct fm_http_response r = {
        .status = 200, .error = "", .headers = headers, .body = body, .body_bytes = strlen(body)};
    int rc = fake_respond(ctx, &r);
    free(body);
    return rc;
}

int respond(const char *quoted)
{
    return respond_as("content-type: text/event-stream\n", quoted);
}

void answers(const char *quoted)
{
    if (respond(quoted) != 0)
        fail_msg("%s", ctx->failure);
}

void fails_with(int rc, const char *text)
{
    assert_int_equal(rc, -1);
    if (strstr(ctx->failure, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", ctx->failure, text);
}
