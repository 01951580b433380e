/* The flows and the data of the simulated jobs. */
#ifndef SIM_FLOWS_H
#define SIM_FLOWS_H

#include "fermata/v1/flows.pb-c.h"
#include "sim.h"

/* Struct {"t": token, "ask": ask, "ms": ms}. */
struct data {
    Google__Protobuf__Struct s;
    Google__Protobuf__Struct__FieldsEntry entries[3], *pointers[3];
    Google__Protobuf__Value values[3];
};
Google__Protobuf__Struct *make_data(struct data *d, char *token, bool ask, uint32_t ms);
/* For free_unpacked. */
Fermata__V1__Flow *make_flow(const struct sim_plan *plan);
/* The stored flow of child jobs. */
Fermata__V1__Flow *make_kid_flow(void);

#endif
