/* Paths of fields in the errors of a flow. */
#ifndef FM_FLOW_PATH_H
#define FM_FLOW_PATH_H

#include "err.h"

#define FLOW_PATH_BYTES 128

/* Writes the path of a field; one that is too long is cut, as fm_err would cut it. */
void flow_path(char out[FLOW_PATH_BYTES], const char *fmt, ...) FM_PRINTF(2, 3);

/* Notes a fault at a field. */
#define FLOW_FAULT(err, field, ...) ((void)fm_err_add(err, FM_INVALID_ARGUMENT, field, __VA_ARGS__))

#endif
