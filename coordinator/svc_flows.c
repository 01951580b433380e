/* The Flows service: one row a method; all of them are the core's (core_flows.c). */
#include "fermata/v1/flows.pb-c.h"
#include "svc.h"

const struct rpc_method flows_methods[] = {
    SVC_CORE("/fermata.v1.Flows/PutFlow", RPC_UNARY, put_flow_request, CORE_PUT_FLOW),
    SVC_CORE("/fermata.v1.Flows/GetFlow", RPC_UNARY, get_flow_request, CORE_GET_FLOW),
    SVC_CORE("/fermata.v1.Flows/ListFlows", RPC_UNARY, list_flows_request, CORE_LIST_FLOWS),
    SVC_CORE("/fermata.v1.Flows/DeleteFlow", RPC_UNARY, delete_flow_request, CORE_DELETE_FLOW),
    SVC_CORE("/fermata.v1.Flows/GetFlowGraph", RPC_UNARY, get_flow_graph_request, CORE_GET_FLOW_GRAPH),
};
const size_t n_flows_methods = sizeof(flows_methods) / sizeof(flows_methods[0]);
