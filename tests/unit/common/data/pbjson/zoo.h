/* The descriptor set of zoo.proto. */
#ifndef FM_TEST_ZOO_H
#define FM_TEST_ZOO_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t zoo_descriptor_set[];
extern const size_t zoo_descriptor_set_size;

#endif
