/* The Flows service: one row a method; all of them are the core's (core_flows.c). */
#include "fermata/v1/flows.pb-c.h"
#include "svc.h"

const struct rpc_method flows_methods[] = {
    {"/fermata.v1.Flows/PutFlow",    RPC_UNARY, svc_core_request, &fermata__v1__put_flow_request__descriptor,    CORE_PUT_FLOW   },
    {"/fermata.v1.Flows/GetFlow",    RPC_UNARY, svc_core_request, &fermata__v1__get_flow_request__descriptor,    CORE_GET_FLOW   },
    {"/fermata.v1.Flows/ListFlows",  RPC_UNARY, svc_core_request, &fermata__v1__list_flows_request__descriptor,  CORE_LIST_FLOWS },
    {"/fermata.v1.Flows/DeleteFlow", RPC_UNARY, svc_core_request, &fermata__v1__delete_flow_request__descriptor, CORE_DELETE_FLOW},
};
const size_t n_flows_methods = sizeof(flows_methods) / sizeof(flows_methods[0]);
