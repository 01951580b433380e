/* What comes back from outside to a task in hand: lines of a program (exec), and replies of models, whole or
 * in a stream. The first byte says which, and where the rest is cut in two. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "engine_under_fuzz.h"
#include "fuzz.h"
#include "json.h"
#include "json_text.h"
#include "value.h"

static const struct kind {
    const char *type, *slot, *config;
    bool stream;
} kinds[] = {
    {"exec",      "go",      "{'command':['x']}",                                                 false},
    {"llm_agent", "trigger", "{'provider':'openai','model':'m'}",                                 false},
    {"llm_agent", "trigger", "{'provider':'openai','model':'m','stream':true}",                   true },
    {"llm_agent", "trigger", "{'provider':'anthropic','model':'m','max_tokens':9}",               false},
    {"llm_agent", "trigger", "{'provider':'anthropic','model':'m','max_tokens':9,'stream':true}", true },
    {"http",      "input",   "{'url':'http://x/'}",                                               false}
};

static void put_struct(struct fm_buf *out, uint32_t field, const char *text)
{
    char *json = json_text(text);
    struct fm_arena a;
    struct fm_err err = {0};
    struct fm_buf b = {0};
    fm_arena_init(&a, 1u << 20);
    const struct fm_value *v = json_value_read(json, strlen(json), &a, &err);
    if (v == NULL || value_encode_struct(v, &b, &err) < 0)
        abort();
    fm_buf_put_len_delim(out, field, b.p, b.n);
    fm_buf_done(&b);
    fm_arena_done(&a);
    free(json);
}

static void assign(const struct kind *k)
{
    struct fm_buf flow = {0}, routine = {0}, task = {0}, body = {0};
    fm_buf_put_string(&routine, 1, "r");
    fm_buf_put_string(&routine, 2, k->type);
    put_struct(&routine, 3, k->config);
    fm_buf_put_len_delim(&flow, 4, routine.p, routine.n);
    fm_buf_put_string(&task, 1, "i1");
    fm_buf_put_string(&task, 2, "r");
    fm_buf_put_string(&task, 3, k->slot);
    put_struct(&task, 4, "{'task':'t'}");
    fm_buf_put_tag_varint(&task, 7, 1);
    fm_buf_put_string(&body, 1, "01M88XJZ0MWFZ5AA601T6G1Y5N");
    fm_buf_put_tag_varint(&body, 2, 1);
    fm_buf_put_len_delim(&body, 3, flow.p, flow.n);
    fm_buf_put_len_delim(&body, 4, "", 0);
    fm_buf_put_len_delim(&body, 5, task.p, task.n);
    under_message(4, (struct fm_bytes){body.p, body.n});
    fm_buf_done(&flow);
    fm_buf_done(&routine);
    fm_buf_done(&task);
    fm_buf_done(&body);
}

/* True while the call goes on. */
static bool bring(const uint8_t *p, size_t n)
{
    return under.call != 0 && engine_call_data(under.e, under.call, (struct fm_bytes){p, n}, under.now) >= 0;
}

static void bring_lines(const uint8_t *p, size_t n)
{
    while (n > 0) {
        const uint8_t *end = memchr(p, '\n', n);
        size_t line = end == NULL ? n : (size_t)(end - p);
        if (!bring(p, line))
            return;
        n -= end == NULL ? line : line + 1;
        p += end == NULL ? line : line + 1;
    }
}

static void end_call(const struct kind *k, const uint8_t *p, size_t n, int status)
{
    const struct fm_process_result process = {.exit_code = status == 200 ? 0 : 75, .error = "", .said = ""};
    struct fm_buf body = {0};
    fm_buf_append(&body, p, n);
    fm_buf_append(&body, "", 1);
    const struct fm_http_response http = {.status = status,
                                          .error = "",
                                          .headers = "retry-after: 1\n",
                                          .body = (const char *)body.p,
                                          .body_bytes = n};
    uint64_t id = under.call;
    under.call = 0;
    if (id != 0)
        engine_call_done(under.e, id,
                         strcmp(k->type, "exec") == 0 ? (const void *)&process : (const void *)&http,
                         under.now);
    fm_buf_done(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct kind *k = &kinds[data[0] % (sizeof(kinds) / sizeof(kinds[0]))];
    int status = data[0] >= 240 ? 429 : 200;
    size_t cut = (size - 1) / 2;
    data++;
    size--;
    under_begin();
    under_welcome();
    assign(k);
    if (under.call == 0)
        abort();
    if (strcmp(k->type, "exec") == 0)
        bring_lines(data, size);
    else if (k->stream && bring(data, cut))
        (void)bring(data + cut, size - cut);
    end_call(k, data, size, status);
    engine_tick(under.e, under.now + 100);
    under_end();
    return 0;
}
