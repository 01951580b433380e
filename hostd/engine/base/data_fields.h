/* The fields of an encoded Struct in the order of their names, so that many connections can look at
 * the data of an event, each in time that hardly grows with them. */
#ifndef FM_ENGINE_DATA_FIELDS_H
#define FM_ENGINE_DATA_FIELDS_H

#include <stdbool.h>

#include "buf.h"

struct data_field {
    struct fm_bytes name, value; /* the value as it is encoded */
    size_t at;                   /* its place in the Struct */
};

struct data_fields {
    struct fm_bytes data; /* all of them, which must stay */
    bool is_malformed;
    struct data_field *items; /* of equal names the last one only */
    size_t n;
};

void data_fields_read(struct data_fields *f, struct fm_bytes data);
void data_fields_done(struct data_fields *f);
/* NULL: there is none. */
struct data_field *data_fields_find(const struct data_fields *f, struct fm_bytes name);

#endif
