/* How the rules of types say what is wrong. See rules.h. */
#ifndef FM_RULES_REPORT_H
#define FM_RULES_REPORT_H

#include "json_schema.h"

#define RULES_PATH_BYTES 64

struct rules_report {
    json_schema_report report;
    void *arg;
};

/* A fault of the value at `path`. What is said of a value follows its name, as in a schema's messages:
 * "must be …". */
void rules_fault(const struct rules_report *o, const char *path, const char *fmt, ...) FM_PRINTF(3, 4);
/* The text of a setting; NULL: it has none, or another kind of value. */
const char *rules_text(const struct fm_value *config, const char *key);
/* The value of a key, which may have dots in it; NULL: the map has none, or is none. */
const struct fm_value *rules_member(const struct fm_value *map, const char *key);
/* A setting that is there must be the URL of an HTTP server. */
void rules_check_url(const struct fm_value *config, const char *key, const struct rules_report *o);

#endif
