/* What model calls cost on this host: a table from a file, read once at start.
 * JSON: {"provider/model": {"input": N, "output": N, "cached": N, "cache_write": N}, …}, in money per
 * million tokens; "cached" is that of input tokens that the provider had cached, "cache_write" that of
 * those that it wrote to its cache, each like "input" when it is left out. "provider/" followed by a star is
 * for all its models. */
#ifndef FM_PRICES_H
#define FM_PRICES_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* Reads the file; NULL: there are no prices, and nothing costs anything. Returns 0, or an error
 * that names the file and the entry. Call once, before handlers run. */
int prices_read(const char *file, struct fm_err *err) FM_MUST_CHECK;
void prices_free(void);
struct prices_use {
    uint64_t input_tokens, output_tokens;
    uint64_t cached_tokens, cache_write_tokens; /* of the input */
};

/* Cost of a call; *ret_known says whether there is a price for the model. */
double prices_cost(const char *provider, const char *model, const struct prices_use *use, bool *ret_known);

#endif
