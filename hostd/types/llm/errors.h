/* Errors of a model's server: how they are found in what it sends, and whether another attempt can
 * help. */
#ifndef FM_LLM_ERRORS_H
#define FM_LLM_ERRORS_H

#include "provider.h"

/* Whether a reply, or an event of a stream, is an error, whatever its status: servers write them in
 * many ways. */
bool llm_is_error(const struct fm_value *v);
/* At most 400 bytes of a text from outside, without secrets. */
const char *llm_shown(struct fm_ctx *ctx, const char *text);
/* The attempt fails with the error in `v`, or else (NULL) with `text`; for good when no other attempt
 * can help. `what` says what has failed. Returns -1. */
int llm_fail_in_reply(struct fm_ctx *ctx, const char *what, const struct fm_value *v, const char *text);
/* The attempt fails: there is no response, or its status says so. Returns -1. */
int llm_fail_without_response(struct fm_ctx *ctx, const struct fm_http_response *r);
int llm_fail_by_status(struct fm_ctx *ctx, const struct llm_http *h, const struct fm_http_response *r);
/* What a refused request is told of its length, in the reply's words, for as long as the step; NULL: it is
 * refused for something else. */
const char *llm_too_long(struct fm_ctx *ctx, const struct fm_http_response *r);

#endif
