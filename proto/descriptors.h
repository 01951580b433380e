/* The FileDescriptorSet of every proto that the coordinator serves, with all imports; made by protoc at build
 * time. */
#ifndef FM_DESCRIPTORS_H
#define FM_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t fm_descriptor_set[];
extern const size_t fm_descriptor_set_size;

#endif
