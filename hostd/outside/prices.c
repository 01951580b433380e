/* The price table. See prices.h. */
#include "prices.h"

#include <string.h>

#include <jansson.h>

static json_t *table; /* read-only once it is read */

static bool is_price(const json_t *v)
{
    return v == NULL || (json_is_number(v) && json_number_value(v) >= 0);
}

int prices_read(const char *file, struct fm_err *err)
{
    json_error_t fault;
    const char *key;
    json_t *entry;
    if (file == NULL)
        return 0;
    table = json_load_file(file, JSON_REJECT_DUPLICATES, &fault);
    if (table == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "prices", "--prices %s: %s (line %d)", file, fault.text,
                          fault.line);
    if (!json_is_object(table))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "prices", "--prices %s: it must hold an object", file);
    json_object_foreach(table, key, entry)
    {
        if (!json_is_object(entry) || !json_is_number(json_object_get(entry, "input")) ||
            !is_price(json_object_get(entry, "input")) || !json_is_number(json_object_get(entry, "output")) ||
            !is_price(json_object_get(entry, "output")) || !is_price(json_object_get(entry, "cached")) ||
            !is_price(json_object_get(entry, "cache_write")))
            return fm_err_set(err, FM_INVALID_ARGUMENT, "prices",
                              "--prices %s: \"%.128s\" must have the numbers \"input\" and \"output\" (and "
                              "\"cached\", \"cache_write\"), 0 or "
                              "more",
                              file, key);
        if (strchr(key, '/') == NULL)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "prices",
                              "--prices %s: \"%.128s\" is not PROVIDER/MODEL", file, key);
    }
    return 0;
}

void prices_free(void)
{
    json_decref(table);
    table = NULL;
}

/* The price of a kind of input tokens; that of all input when it has none of its own. */
static double price_of(const json_t *p, const char *kind)
{
    const json_t *own = json_object_get(p, kind);
    return json_number_value(own != NULL ? own : json_object_get(p, "input"));
}

double prices_cost(const char *provider, const char *model, const struct prices_use *use, bool *ret_known)
{
    char key[300];
    (void)snprintf(key, sizeof(key), "%.64s/%.200s", provider, model);
    const json_t *p = json_object_get(table, key);
    if (p == NULL) {
        (void)snprintf(key, sizeof(key), "%.64s/*", provider);
        p = json_object_get(table, key);
    }
    *ret_known = p != NULL;
    if (p == NULL)
        return 0;
    uint64_t kept = use->cached_tokens + use->cache_write_tokens,
             fresh = use->input_tokens > kept ? use->input_tokens - kept : 0;
    return ((double)fresh * price_of(p, "input") + (double)use->cached_tokens * price_of(p, "cached") +
            (double)use->cache_write_tokens * price_of(p, "cache_write") +
            (double)use->output_tokens * json_number_value(json_object_get(p, "output"))) /
           1e6;
}
