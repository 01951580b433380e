/* The Hosts service: one row a method; all of them are the core's (core_hosts.c). */
#include "fermata/v1/hosts.pb-c.h"
#include "svc.h"

const struct rpc_method hosts_methods[] = {
    {"/fermata.v1.Hosts/ListHosts",  RPC_UNARY, svc_core_request, &fermata__v1__list_hosts_request__descriptor,  CORE_LIST_HOSTS },
    {"/fermata.v1.Hosts/GetHost",    RPC_UNARY, svc_core_request, &fermata__v1__get_host_request__descriptor,    CORE_GET_HOST   },
    {"/fermata.v1.Hosts/CordonHost", RPC_UNARY, svc_core_request, &fermata__v1__cordon_host_request__descriptor, CORE_CORDON_HOST},
    {"/fermata.v1.Hosts/DrainHost",  RPC_UNARY, svc_core_request, &fermata__v1__drain_host_request__descriptor,  CORE_DRAIN_HOST },
};
const size_t n_hosts_methods = sizeof(hosts_methods) / sizeof(hosts_methods[0]);
