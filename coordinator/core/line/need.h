/* What a job needs of a host, as a key. */
#ifndef FM_CORE_NEED_H
#define FM_CORE_NEED_H

#include <stdint.h>

#include "store.h"

struct job;

/* Equal for jobs that the same hosts could have, whatever else they are. */
void need_key(const struct job *job, uint8_t ret[STORE_DIGEST_BYTES]);

#endif
