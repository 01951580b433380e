/* The texts of types/, as the build has embedded them. */
#ifndef FM_TYPE_TEXTS_H
#define FM_TYPE_TEXTS_H

#include <stddef.h>
#include <stdint.h>

struct embedded_text {
    const char *name;
    const uint8_t *text; /* NUL-terminated */
    size_t n;
};

extern const struct embedded_text type_texts[];
extern const size_t type_texts_count;

#endif
