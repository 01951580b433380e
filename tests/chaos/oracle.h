/* Compares what the coordinator has in the end with what the clients were told. Main thread. */
#ifndef FM_CHAOS_ORACLE_H
#define FM_CHAOS_ORACLE_H

#include "rpc.h"

/* Brings the jobs of submits that were never acknowledged to their ends, too; then checks every job. */
void oracle_check(struct rpc_channel *c);

#endif
