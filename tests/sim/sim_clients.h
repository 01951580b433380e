/* Who uses the simulated coordinator. */
#ifndef SIM_CLIENTS_H
#define SIM_CLIENTS_H

#include <protobuf-c/protobuf-c.h>

#include "sim.h"

/* Sends a request; `about` comes back with its reply (sim_replies.c). */
void request(const char *method, enum op_kind kind, size_t job, size_t item, const char *about,
             const ProtobufCMessage *m);
/* What the client of a job does next. */
void client_acts(size_t j);
/* What those who look after hosts do next. */
void operator_acts(void);
/* A supervisor says that this incarnation of host i is dead. */
void certify(size_t i, const char *incarnation);
void get_job(size_t j, enum op_kind kind);
void get_history(size_t j);
/* The first job is watched. */
void watch(void);

#endif
