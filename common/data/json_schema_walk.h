/* What the walk over a schema and the check of a value share: where they are, what they may
 * still do, and members of objects. Private to json_schema*.c. */
#ifndef FM_JSON_SCHEMA_WALK_H
#define FM_JSON_SCHEMA_WALK_H

#include <fermata/value.h>

#include "err.h"
#include "json_schema_types.h"

#define PATH_BYTES 256

struct ecma_regex_room;
struct pattern;

struct check {
    json_schema_report report;
    void *arg;
    struct fm_err *err;
    int n_faults;
    struct json_schema_work work;
    size_t fault_work; /* of one fault that is reported */
    unsigned quiet;    /* inside anyOf, oneOf, not: faults only count */
    bool collect;      /* of the schema: all faults are added to err, with their paths as fields */
    enum json_schema_use use;
    char path[PATH_BYTES];
    size_t path_n;
    bool stopped; /* a limit was met, and err says which */
    struct pattern *patterns;
    size_t n_patterns;
    struct ecma_regex_room *room;          /* there is one when there are patterns */
    const struct fm_value *root, *root_id; /* the whole schema, and its $id; for references */
    bool has_ref, has_inner_id;
    unsigned n_refs; /* references that the check is within */
};

/* False when the check is out of work. */
bool schema_spend(struct check *c, size_t n);
bool schema_can_work(const struct check *c);
size_t schema_work_left(const struct check *c);
/* Ends the check: a limit was met. Returns -FM_RESOURCE_EXHAUSTED. */
int schema_stop(struct check *c, const char *fmt, ...) FM_PRINTF(2, 3);
/* Go down; return what schema_path_back wants. A path that is too long is cut. */
size_t schema_path_down(struct check *c, const char *fmt, ...) FM_PRINTF(2, 3);
size_t schema_path_key(struct check *c, const char *key);
void schema_path_back(struct check *c, size_t was);
/* A member by its key, which is no path. */
const struct fm_value *schema_member(struct check *c, const struct fm_value *map, const char *key);
bool schema_has_member(struct check *c, const struct fm_value *map, const char *key);
bool schema_equal(struct check *c, const struct fm_value *a, const struct fm_value *b);

/* A fault of the schema. Returns 0 when the walk is to go on. */
int schema_refuse(struct check *c, const char *fmt, ...) FM_PRINTF(2, 3);

#endif
