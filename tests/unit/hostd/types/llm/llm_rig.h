/* The agent with a provider over HTTP, without a network: what it asks, and what is made of a reply.
 * Texts are JSON as json_text.h has it. */
#ifndef FM_LLM_RIG_H
#define FM_LLM_RIG_H

#include "fake_json.h"

extern struct fm_ctx *const ctx;

/* Setup and teardown of a test. */
int rig_init(void **state);
int rig_done(void **state);

/* An agent of this provider with a tool "look" and more settings (",'key':…"). */
void configure(const char *provider, const char *more);
/* Gives it a task: it must make a request. */
void ask(void);
/* What the request's body has at a path. */
const struct fm_value *sent(const char *path);
/* The response to the request, in one piece if it is streamed; what the step returns. */
int respond_as(const char *headers, const char *quoted);
int respond(const char *quoted);
/* A response that must not fail. */
void answers(const char *quoted);
/* The step's result must be a failure that says this. */
void fails_with(int rc, const char *text);

#endif
