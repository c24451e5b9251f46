// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only (the kernel lends the helpers for reading to the latter only)
// A prober's packets on their way.
#pragma once
#include "event.h"

inline u16 swapped(u16 v) { return __builtin_bswap16(v); }

inline int probers(u16 wire)
{
	u16 port = swapped(wire);
	return ports[port >> 3 & 8191] >> (port & 7) & 1;
}

// The number of the target that is asked, + 1, or 0.
inline u32 between(const struct address *from, const struct address *to, u16 to_port)
{
	struct end end = {.address = *to, .port = to_port};
	struct asked *asks = bpf_map_lookup_elem(&targets, &end);
	if (!asks || asks->from.word[0] != from->word[0] || asks->from.word[1] != from->word[1] ||
	    asks->from.word[2] != from->word[2] || asks->from.word[3] != from->word[3])
		return 0;
	return asks->number + 1;
}

// The number of the target + 1 if skb is a prober's TCP segment, or 0: e has its direction, port, seq and len then.
static __attribute__((noinline)) int probe(struct sk_buff *skb, struct event *e)
{
	u16 protocol = GET(skb, protocol), at = GET(skb, network_header);
	if ((protocol != IPV4 && protocol != IPV6) || at == 0xffff)
		return 0;
	u8 *from = GET(skb, head) + at;
	u8 ip[60]; // the headers without options
	u8 *tcp = ip + 20;
	struct address source = {}, destination = {};
	u32 total, header = 20;
	if (protocol == IPV4) {
		if (bpf_probe_read_kernel(ip, 40, from) || ip[9] != TCP)
			return 0;
		total = swapped(*(u16 *)(ip + 2));
		header = (ip[0] & 15) * 4;
		if (header != 20 && bpf_probe_read_kernel(tcp, 20, from + header))
			return 0;
	} else {
		if (bpf_probe_read_kernel(ip, 60, from) || ip[6] != TCP)
			return 0;
		tcp = ip + 40;
		total = header = 40;
		total += swapped(*(u16 *)(ip + 4));
	}
	u16 sport = *(u16 *)tcp, dport = *(u16 *)(tcp + 2);
	int out = probers(sport), back = probers(dport);
	if (!out && !back)
		return 0;
	if (protocol == IPV4) {
		source.word[2] = destination.word[2] = 0xffff0000;
		source.word[3] = *(u32 *)(ip + 12);
		destination.word[3] = *(u32 *)(ip + 16);
	} else {
		__builtin_memcpy(&source, ip + 8, 16);
		__builtin_memcpy(&destination, ip + 24, 16);
	}
	u32 target = out ? between(&source, &destination, dport) : 0;
	if (target) {
		e->dir = REQUEST, e->port = swapped(sport);
	} else {
		target = back ? between(&destination, &source, sport) : 0;
		if (!target)
			return 0;
		e->dir = REPLY, e->port = swapped(dport);
	}
	e->seq = __builtin_bswap32(*(u32 *)(tcp + 4));
	e->len = total - header - (tcp[12] >> 4) * 4;
	return target;
}

// Whether skb may be a prober's by its length, which most others' may not.
inline int fits(struct sk_buff *skb)
{
	u32 len = GET(skb, len);
	return len >= SHORTEST && len <= LONGEST;
}

inline void stamp(struct event *e, u32 kind)
{
	e->t = bpf_ktime_get_ns();
	e->kind = kind;
	e->cpu = bpf_get_smp_processor_id();
}

// Whether skb is a prober's, when this CPU comes upon it: nothing is known of it yet, though there may have been
// another at the same address.
inline int first_look(struct sk_buff *skb, struct event *e)
{
	u32 zero = 0;
	struct look *look = bpf_map_lookup_elem(&looks, &zero);
	int found = probe(skb, e);
	if (look)
		*look = (struct look){(u64)skb, found, e->port, e->dir, e->seq, e->len};
	return found;
}

// Whether skb is a prober's, in a step that follows upon another without leaving the CPU.
inline int next_look(struct sk_buff *skb, struct event *e)
{
	u32 zero = 0;
	struct look *look = bpf_map_lookup_elem(&looks, &zero);
	if (!look || look->skb != (u64)skb)
		return probe(skb, e);
	e->port = look->port;
	e->dir = look->dir;
	e->seq = look->seq;
	e->len = look->len;
	return look->found;
}

inline int tell(struct sk_buff *skb, struct event *e, u32 kind)
{
	struct net_device *dev = GET(skb, dev);
	if (dev) {
		struct net *net = GET(dev, nd_net.net);
		e->ifindex = GET(dev, ifindex);
		if (net)
			e->netns = GET(net, ns.inum);
	}
	stamp(e, kind);
	emit(e);
	return 0;
}

inline int first(struct sk_buff *skb, u32 kind)
{
	struct event e = {};
	return shared.open && fits(skb) && first_look(skb, &e) ? tell(skb, &e, kind) : 0;
}

inline int next(struct sk_buff *skb, u32 kind)
{
	struct event e = {};
	return shared.open && fits(skb) && next_look(skb, &e) ? tell(skb, &e, kind) : 0;
}

TRACEPOINT(net_dev_queue) int dev_queue(u64 *ctx) { return first((void *)ctx[0], DEV_QUEUE); }

// (qdisc, txq, skb)
TRACEPOINT(qdisc_enqueue) int qdisc_enqueue(u64 *ctx) { return next((void *)ctx[2], QDISC_ENQUEUE); }

TRACEPOINT(qdisc_dequeue) int qdisc_dequeue(u64 *ctx) // (qdisc, txq, packets, skb or null)
{
	struct sk_buff *skb = (void *)ctx[3];
	return skb ? first(skb, QDISC_DEQUEUE) : 0;
}

TRACEPOINT(net_dev_start_xmit) int dev_xmit(u64 *ctx) { return next((void *)ctx[0], DEV_XMIT); }

TRACEPOINT(netif_rx) int netif_rx(u64 *ctx) { return next((void *)ctx[0], NETIF_RX); }

TRACEPOINT(netif_receive_skb) int netif_receive(u64 *ctx) { return first((void *)ctx[0], NETIF_RECEIVE); }

TRACEPOINT(kfree_skb) int drop(u64 *ctx) // (skb, location, reason)
{
	struct sk_buff *skb = (void *)ctx[0];
	u32 reason = has_reason ? (u32)ctx[2] : DROPS;
	struct event e = {.value = reason};
	return !shared.open || reason < DROPS || !probe(skb, &e) ? 0 : tell(skb, &e, DROP);
}

TRACEPOINT(tcp_probe) int sock_ready(u64 *ctx) // (sk, skb): an established socket processes a segment
{
	struct sock *sk = (void *)ctx[0];
	struct event e = {};
	// A socket's ports cost less than a packet's headers.
	if (!shared.open || (!probers(GET(sk, __sk_common.skc_dport)) && !probers(swapped(GET(sk, __sk_common.skc_num)))))
		return 0;
	struct sk_buff *skb = (void *)ctx[1];
	u32 target = probe(skb, &e);
	if (!target || !e.len)
		return 0;
	struct net *net = GET(sk, __sk_common.skc_net.net);
	if (net)
		e.netns = GET(net, ns.inum);
	stamp(&e, SOCK_READY);
	emit(&e);
	if (e.dir == REPLY)
		__sync_fetch_and_and(&shared.open, ~(1ull << ((target - 1) % TARGETS)));
	return 0;
}
