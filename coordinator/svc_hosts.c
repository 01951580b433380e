/* The Hosts service: one row a method; all of them are the core's (core_hosts.c). */
#include "fermata/v1/hosts.pb-c.h"
#include "svc.h"

const struct rpc_method hosts_methods[] = {
    SVC_CORE("/fermata.v1.Hosts/ListHosts", RPC_UNARY, list_hosts_request, CORE_LIST_HOSTS),
    SVC_CORE("/fermata.v1.Hosts/GetHost", RPC_UNARY, get_host_request, CORE_GET_HOST),
    SVC_CORE("/fermata.v1.Hosts/CordonHost", RPC_UNARY, cordon_host_request, CORE_CORDON_HOST),
    SVC_CORE("/fermata.v1.Hosts/DrainHost", RPC_UNARY, drain_host_request, CORE_DRAIN_HOST),
    SVC_CORE("/fermata.v1.Hosts/CertifyDeath", RPC_UNARY, certify_death_request, CORE_CERTIFY_DEATH),
};
const size_t n_hosts_methods = sizeof(hosts_methods) / sizeof(hosts_methods[0]);
