/* Where models come from. A provider makes one call and says what came of it.
 *
 * A conversation is a list of messages in a form of its own, which providers translate:
 *   {"role": "system"|"user", "content": text, or a list of parts that is passed through}
 *   {"role": "assistant", "content": text, "tool_calls": as tool_calls.h has them,
 *    "thoughts": see reasoning.h,
 *    "blocks": what else the reply had, in the provider's form and order; see anthropic.c}
 *   {"role": "tool", "call_id": id, "name": name, "content": anything} */
#ifndef FM_LLM_PROVIDER_H
#define FM_LLM_PROVIDER_H

#include <fermata/routine.h>

#include "sse.h"

#define LLM_MAX_STREAMED_CALLS 64 /* of tools, in one streamed reply */

struct llm_provider;
struct llm_reply;

/* What is asked of a model. */
struct llm_request {
    const struct llm_provider *provider;
    const struct fm_value *config;   /* the routine's */
    const struct fm_value *messages; /* the whole conversation, a list */
    const struct fm_value *tools;    /* list of {"name", "description", "parameters"} */
    uint32_t calls_before;           /* calls that this agent has made before */
    struct fm_value *body;           /* what `body` of the provider has made; NULL for the mock */
    uint64_t cap;                    /* tokens that the reply may have, where the configuration does not say:
                                        so that limits hold; 0: as many as the provider likes */
    /* What is done with what a reply has used that is of no use, after fm_ctx_fail. */
    void (*charge_failed)(struct fm_ctx *ctx, const struct llm_request *q, const struct llm_reply *reply);
};

/* A model's reply. */
struct llm_reply {
    const char *text;                  /* NULL: none */
    const struct fm_value *tool_calls; /* as tool_calls.h has them; NULL: none. The model's ids: they may be
                                          missing or equal */
    bool last_call_ended;              /* something came after the last call */
    const struct fm_value *blocks;     /* for the conversation, see above; NULL: none */
    const struct fm_value *thoughts;   /* of chat completions, see reasoning.h; NULL: none */
    const char *ask;                   /* the mock's question, without a tool call */
    const struct fm_value *choices;    /* with ask; a list, or NULL */
    bool goes_on;                      /* after text: the model wants to be called again */
    uint64_t input_tokens, output_tokens;
    uint64_t cached_tokens, cache_write_tokens; /* of the input: read from a cache, written to it */
    uint64_t fresh_tokens;                      /* the rest, where the provider counts it */
    bool estimated;                             /* the server has not said how many (or not all of them) */
    uint64_t latency_ms;
    const char *request_id; /* the provider's; "" when it gives none */
    char digest[65];        /* SHA-256 of the request's body, in hex; "" for the mock */
    const char *too_long; /* the request is longer than the model takes, in the provider's words; NULL: no */
    const char *stop;     /* why the model stopped, in the provider's words; "" when it does not say */
};

/* What bounds a reply: the key of the body, and as many tokens as the model can surely give. */
struct llm_cap {
    const char *key;
    uint64_t most;
};

struct llm_provider {
    const char *name;
    /* The body of a request; NULL after fm_ctx_fail. NULL: the provider makes no requests. */
    struct fm_value *(*body)(struct fm_ctx *ctx, const struct llm_request *q);
    struct llm_cap (*cap)(const struct fm_value *config);
    /* Makes the call; fills *reply and calls done(ctx, arg), now or later — or lets the step fail.
     * Returns as a handler does. */
    int (*call)(struct fm_ctx *ctx, const struct llm_request *q, struct llm_reply *reply, fm_callback done,
                void *arg);
};

/* The provider of this name, or NULL. */
const struct llm_provider *llm_provider_find(const char *name);

extern const struct llm_provider llm_mock, llm_openai, llm_anthropic;

/* ---- http.c: what providers over HTTP share ---- */

struct llm_http;

/* Text that grows, in the step's memory. */
struct llm_str {
    char *p; /* NUL-terminated; NULL while empty */
    size_t n, cap;
};

/* One server-sent event of a streamed reply; -1 after fm_ctx_fail. `data` is gone when it
 * returns. */
typedef int (*llm_event)(struct fm_ctx *ctx, struct llm_http *h, const char *event,
                         const struct fm_value *data);
/* The whole reply: of a call that was not streamed `json`, else NULL. Fills h->reply, with its
 * usage before anything that may fail. -1 after fm_ctx_fail. */
typedef int (*llm_end)(struct fm_ctx *ctx, struct llm_http *h, const struct fm_value *json);

struct llm_http {
    const struct llm_request *q;
    struct llm_reply *reply;
    fm_callback done;
    void *arg;
    llm_event on_event;
    llm_end on_end;
    const char *request_id_header; /* of the response */
    bool streams, complete;        /* complete: the stream's last event has come */
    bool began, plain, had_event;  /* plain: a streamed call was answered by plain JSON */
    bool failed;                   /* the stream, after fm_ctx_fail */
    struct sse sse;
    size_t request_bytes; /* of the body that was sent */
    struct llm_str text;  /* what the model has said so far */
    size_t held;          /* bytes at its end that may be the beginning of a secret */
};

/* Fills what all providers fill alike. */
void llm_http_init(struct fm_ctx *ctx, struct llm_http *h, const struct llm_request *q,
                   struct llm_reply *reply, fm_callback done, void *arg);
/* Posts the request's body to base_url + path; `auth` is a header with a reference to the secret, or NULL. */
int llm_http_post(struct fm_ctx *ctx, struct llm_http *h, const char *default_base, const char *path,
                  const char *auth, const char *more_header);

/* ---- texts.c: texts of requests and replies ---- */

void llm_add(struct fm_ctx *ctx, struct llm_str *s, const char *bytes, size_t n);
/* A copy that lives as long as the step. */
const char *llm_keep(struct fm_ctx *ctx, const char *text, size_t n);
/* The text without secrets; the value: NULL for NULL, and NULL after fm_ctx_fail. */
const char *llm_hidden(struct fm_ctx *ctx, const char *text);
const struct fm_value *llm_hidden_value(struct fm_ctx *ctx, const struct fm_value *v);
/* A piece of the model's text: added to h->text, secrets blanked out, and shown. */
void llm_say(struct fm_ctx *ctx, struct llm_http *h, const char *piece);
/* The content of a message as one text: text as it is, anything else as JSON. */
const char *llm_text(struct fm_ctx *ctx, const struct fm_value *content);
/* A schema of the configuration as it goes out: one that is given as text of JSON, byte for byte. */
const struct fm_value *llm_schema(struct fm_ctx *ctx, const struct fm_value *schema);
/* The value as JSON, as a text. */
const struct fm_value *llm_json_text(struct fm_ctx *ctx, const struct fm_value *v);
/* The parts of a tool's result that has some: {"content": [PART, …]}, as MCP has it, or a list of parts that
 * are not all texts. NULL: it is data. */
const struct fm_value *llm_result_parts(const struct fm_value *result);
/* A part in the form of chat completions, of messages. */
const struct fm_value *llm_part_for_chat(struct fm_ctx *ctx, const struct fm_value *part);
const struct fm_value *llm_part_for_messages(struct fm_ctx *ctx, const struct fm_value *part);
/* The number at a path, as far as it is one and not negative. */
uint64_t llm_count(const struct fm_value *v, const char *path);

/* ---- request.c: what goes into a request of any of them ---- */

/* The URL of a call: config.base_url, or else the default, with the path. */
const char *llm_url(struct fm_ctx *ctx, const struct fm_value *config, const char *default_base,
                    const char *path);
/* A header: `before`, then a reference to the secret that config.api_key names; NULL without
 * api_key. */
const char *llm_auth(struct fm_ctx *ctx, const struct fm_value *config, const char *before);
/* The lines "Name: value" of config.headers, whose values may refer to secrets. */
const char *const *llm_headers(struct fm_ctx *ctx, const struct fm_value *config, size_t *ret_n);
bool llm_has_header(const struct fm_value *config, const char *name);
/* Whether a key of the configuration means nothing to the agent: it is passed on as it is. */
bool llm_is_provider_s(const char *key);
/* Sets body keys from config: those of `names` that are there (NULL-terminated pairs: config key,
 * body key), the provider's own, and all of config.params. */
void llm_pass(struct fm_ctx *ctx, const struct fm_value *config, struct fm_value *body,
              const char *const names[][2]);
/* The value of a key, which may have dots in it; NULL: the map has none, or is none. */
const struct fm_value *llm_member(const struct fm_value *map, const char *key);
/* The name of a call's tool as providers take it: models invent others. */
const struct fm_value *llm_tool_name(struct fm_ctx *ctx, const struct fm_value *call);
/* The agent's tool_choice as chat completions have it; NULL: none. */
const struct fm_value *llm_tool_choice(struct fm_ctx *ctx, const struct fm_value *config);
/* Whether the request goes on with a turn, after results: it is not the turn's first. */
bool llm_goes_on(const struct llm_request *q);
/* The map without a key. */
struct fm_value *llm_without(struct fm_ctx *ctx, const struct fm_value *map, const char *key);
/* Sets the body's tools: these, and those that config.params has brought into it. */
void llm_put_tools(struct fm_ctx *ctx, struct fm_value *body, struct fm_value *tools);

#endif
