/* See net.h. A star of veth pairs, routed, for not every kernel has bridges; packets are dropped by nft in
 * the router, so that a loss looks like a loss to both ends. */
#include "net.h"

#include <stdint.h>
#include <stdio.h>

#include "chaos.h"

static bool can_drop, can_delay;

const char *net_namespace(int link)
{
    static char names[N_LINKS][32];
    snprintf(names[link], sizeof(names[link]), "/run/netns/n%d", link);
    return names[link];
}

const char *net_address(int link)
{
    static char addresses[N_LINKS][32];
    snprintf(addresses[link], sizeof(addresses[link]), "10.77.%d.2", link);
    return addresses[link];
}

static void add_link(int i)
{
    chaos_shell(
        true,
        "ip netns add n%d && ip link add r%d type veth peer name eth0 netns n%d && "
        "ip addr add 10.77.%d.1/24 dev r%d && ip link set r%d up && "
        "ip -n n%d addr add %s/24 dev eth0 && ip -n n%d link set eth0 up && ip -n n%d link set lo up && "
        "ip -n n%d route add default via 10.77.%d.1",
        i, i, i, i, i, i, i, net_address(i), i, i, i, i);
}

static void add_rules(void)
{
    can_drop =
        chaos_shell(false, "nft add table inet chaos && "
                           "nft 'add chain inet chaos pre { type filter hook prerouting priority 0; }' && "
                           "nft 'add chain inet chaos post { type filter hook postrouting priority 0; }' && "
                           "nft add chain inet chaos probe && "
                           "nft add rule inet chaos probe numgen random mod 100 '<' 1 drop") == 0;
    if (!can_drop) {
        chaos_say(
            "nft cannot drop packets here: no loss and no one-way partitions, only links that are down");
        return;
    }
    for (int i = 0; i < N_LINKS; i++)
        chaos_shell(true,
                    "nft add chain inet chaos from%d && nft add chain inet chaos to%d && "
                    "nft add rule inet chaos pre iifname r%d jump from%d && "
                    "nft add rule inet chaos post oifname r%d jump to%d",
                    i, i, i, i, i, i);
}

void net_up(void)
{
    chaos_shell(true, "ip link set lo up && echo 1 >/proc/sys/net/ipv4/ip_forward");
    for (int i = 0; i < N_LINKS; i++)
        add_link(i);
    add_rules();
    can_delay =
        chaos_shell(false, "tc qdisc add dev r0 root netem delay 1ms && tc qdisc del dev r0 root") == 0;
    if (!can_delay)
        chaos_say("this kernel has no netem: slow links are narrow ones (tbf) instead of delayed ones");
}

bool net_can_drop(void)
{
    return can_drop;
}

void net_link_down(int link)
{
    chaos_shell(true, "ip link set r%d down", link);
}

static void lose(const char *direction, int link, unsigned percent)
{
    char condition[64] = "";
    if (percent < 100)
        snprintf(condition, sizeof(condition), "numgen random mod 100 '<' %u", percent);
    chaos_shell(true, "nft add rule inet chaos %s%d %s drop", direction, link, condition);
}

void net_lose_from(int link, unsigned percent)
{
    lose("from", link, percent);
}

void net_lose_to(int link, unsigned percent)
{
    lose("to", link, percent);
}

void net_slow(int link)
{
    if (can_delay)
        chaos_shell(true, "tc qdisc add dev r%d root netem delay 150ms 100ms", link);
    else
        (void)chaos_shell(false, "tc qdisc add dev r%d root tbf rate 100kbit burst 3kb latency 800ms", link);
}

void net_heal(int link)
{
    chaos_shell(true, "ip link set r%d up", link);
    (void)chaos_shell(false, "tc qdisc del dev r%d root", link);
    if (can_drop)
        chaos_shell(true, "nft flush chain inet chaos from%d && nft flush chain inet chaos to%d", link, link);
}
