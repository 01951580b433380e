/* What model calls cost on this host: a table from a file, read once at start.
 * JSON: {"provider/model": {"input": N, "output": N, "cached": N}, …}, in money per million tokens;
 * "cached" is that of input tokens that the provider had cached, and like "input" when it is left
 * out. "provider/" followed by a star is for all its models. */
#ifndef FM_PRICES_H
#define FM_PRICES_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* Reads the file; NULL: there are no prices, and nothing costs anything. Returns 0, or an error
 * that names the file and the entry. Call once, before handlers run. */
int prices_read(const char *file, struct fm_err *err) FM_MUST_CHECK;
void prices_free(void);
/* Cost of a call; *ret_known says whether there is a price for the model. `cached_tokens` are part
 * of input_tokens. */
double prices_cost(const char *provider, const char *model, uint64_t input_tokens, uint64_t output_tokens,
                   uint64_t cached_tokens, bool *ret_known);

#endif
