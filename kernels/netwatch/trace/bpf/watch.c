// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only (the kernel lends the helpers for reading to the latter only)
// What happens to a prober's packets and to the tasks that answer them. Anything else is let go as early as can be
// told, because these programs see every packet and every switch of the node.
#include "kernel.h"

enum kind { DEV_QUEUE = 1, QDISC_ENQUEUE, QDISC_DEQUEUE, DEV_XMIT, NETIF_RX, NETIF_RECEIVE, SOCK_READY, RECV, DROP, WAKING, WAKEUP, SWITCH_IN, SWITCH_OUT };
enum direction { REQUEST = 1, REPLY };

enum {
	IPV4 = 0x0008, // as on the wire
	IPV6 = 0xdd86,
	TCP = 6,
	LONGEST = 16384, // a probe is short: longer segments are somebody's bulk
	DROPS = 2, // reasons from here on are drops: 0 and 1 are "not dropped" and "consumed"
	WAIT_NS = 1000000000, // who runs on a CPU that a task waits for is told for no longer
};

struct event {
	u64 t;
	u32 kind, netns, ifindex, cpu, seq;
	u16 port, dir;
	u32 len, pid, prev_pid, value; // value: prev's state or the reason
	char comm[16], prev_comm[16];
};

struct address {
	u32 word[4]; // IPv4 in the last one, as ::ffff:a.b.c.d
};

struct end {
	struct address address;
	u16 port; // as on the wire
	u16 zero;
};

// What was found of the packet that a CPU looked at last. Its next steps on the same CPU need not look again.
struct look {
	u64 skb;
	u32 found;
	u16 port, dir;
	u32 seq, len;
};

// Put in when the programs are loaded.
const volatile u8 has_state = 1;   // sched_switch says in which state the task before was
const volatile u8 has_reason = 1;  // kfree_skb says why

u8 ports[8192];   // a bit for each port: one of the probers'
u8 may_be[8192];  // a bit for the last bits of each namespace in spaces: most tasks are in none of them

MAP(targets, MAP_HASH, struct end, struct address, 1024); // who is asked → from which address
MAP(spaces, MAP_HASH, u32, u8, 1024);                     // their network namespaces
MAP(waiting, MAP_ARRAY, u32, u64, 1);                     // by CPU: since when one of their tasks waits for it, or 0
MAP(current, MAP_ARRAY, u32, u64, 1);                     // by CPU: the task that runs
MAP(looks, MAP_PERCPU_ARRAY, u32, struct look, 1);
MAP(lost, MAP_PERCPU_ARRAY, u32, u64, 1);

struct {
	int (*type)[MAP_RINGBUF];
	int (*max_entries)[1 << 22];
} events SEC(".maps");

inline void emit(struct event *e)
{
	if (bpf_ringbuf_output(&events, e, sizeof(*e), RINGBUF_NO_WAKEUP)) {
		u32 zero = 0;
		u64 *n = bpf_map_lookup_elem(&lost, &zero);
		if (n)
			++*n;
	}
}

// --- packets ---

inline u16 swapped(u16 v) { return __builtin_bswap16(v); }

inline int probers(u16 wire)
{
	u16 port = swapped(wire);
	return ports[port >> 3 & 8191] >> (port & 7) & 1;
}

inline int between(const struct address *from, u16 from_port, const struct address *to, u16 to_port)
{
	struct end end = {.address = *to, .port = to_port};
	struct address *asks = bpf_map_lookup_elem(&targets, &end);
	return asks && asks->word[0] == from->word[0] && asks->word[1] == from->word[1] && asks->word[2] == from->word[2] &&
	       asks->word[3] == from->word[3];
}

// Whether skb is a prober's TCP segment: if so, e has its direction, port, seq and len.
static __attribute__((noinline)) int probe(struct sk_buff *skb, struct event *e)
{
	u16 protocol = GET(skb, protocol), at = GET(skb, network_header);
	if ((protocol != IPV4 && protocol != IPV6) || at == 0xffff || GET(skb, len) > LONGEST)
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
	if (out && between(&source, sport, &destination, dport))
		e->dir = REQUEST, e->port = swapped(sport);
	else if (back && between(&destination, dport, &source, sport))
		e->dir = REPLY, e->port = swapped(dport);
	else
		return 0;
	e->seq = __builtin_bswap32(*(u32 *)(tcp + 4));
	e->len = total - header - (tcp[12] >> 4) * 4;
	return 1;
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
	return first_look(skb, &e) ? tell(skb, &e, kind) : 0;
}

inline int next(struct sk_buff *skb, u32 kind)
{
	struct event e = {};
	return next_look(skb, &e) ? tell(skb, &e, kind) : 0;
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
	return reason < DROPS || !probe(skb, &e) ? 0 : tell(skb, &e, DROP);
}

TRACEPOINT(tcp_probe) int sock_ready(u64 *ctx) // (sk, skb): an established socket processes a segment
{
	struct sock *sk = (void *)ctx[0];
	struct event e = {};
	// A socket's ports cost less than a packet's headers.
	if (!probers(GET(sk, __sk_common.skc_dport)) && !probers(swapped(GET(sk, __sk_common.skc_num))))
		return 0;
	if (!probe((void *)ctx[1], &e))
		return 0;
	struct net *net = GET(sk, __sk_common.skc_net.net);
	if (net)
		e.netns = GET(net, ns.inum);
	stamp(&e, SOCK_READY);
	emit(&e);
	return 0;
}

// --- tasks ---

inline u32 space(struct task_struct *task)
{
	struct nsproxy *proxy = GET(task, nsproxy); // none: the task is ending
	if (!proxy)
		return 0;
	struct net *net = GET(proxy, net_ns);
	return net ? GET(net, ns.inum) : 0;
}

inline u32 watched(struct task_struct *task)
{
	u32 netns = space(task);
	if (!(may_be[netns >> 3 & 8191] >> (netns & 7) & 1))
		return 0;
	return bpf_map_lookup_elem(&spaces, &netns) ? netns : 0;
}

inline u32 queue_of(struct task_struct *task)
{
	if (__builtin_preserve_field_info(task->thread_info.cpu, 2 /* exists */))
		return CALL(task, thread_info.cpu);
	struct task_struct___old *old = (void *)task;
	return CALL(old, cpu);
}

TRACEPOINT(skb_copy_datagram_iovec) int recv(u64 *ctx) // (skb, len): in the task that reads
{
	struct event e = {};
	if (!probe((void *)ctx[0], &e))
		return 0;
	struct task_struct *task = (void *)bpf_get_current_task();
	struct nsproxy *proxy = CALL(task, nsproxy);
	struct net *net = CALL(proxy, net_ns);
	e.netns = CALL(net, ns.inum);
	e.len = ctx[1];
	e.pid = bpf_get_current_pid_tgid();
	bpf_get_current_comm(e.comm, sizeof(e.comm));
	stamp(&e, RECV);
	emit(&e);
	return 0;
}

inline void name(char *to, struct task_struct *task) { bpf_probe_read_kernel(to, 16, &task->comm); }

TRACEPOINT(sched_waking) int waking(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 netns = watched(task);
	if (!netns)
		return 0;
	struct event e = {.netns = netns, .pid = GET(task, pid), .prev_pid = bpf_get_current_pid_tgid()};
	name(e.comm, task);
	bpf_get_current_comm(e.prev_comm, sizeof(e.prev_comm));
	stamp(&e, WAKING);
	emit(&e);
	return 0;
}

TRACEPOINT(sched_wakeup) int wakeup(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 netns = watched(task);
	if (!netns)
		return 0;
	struct event e = {.netns = netns, .pid = GET(task, pid)};
	u32 cpu = queue_of(task);
	name(e.comm, task);
	stamp(&e, WAKEUP);
	e.cpu = cpu;
	u64 *now = bpf_map_lookup_elem(&current, &cpu), *since = bpf_map_lookup_elem(&waiting, &cpu);
	if (now && *now) {
		// What runs there may go at any time: it is read as anything may be that is gone.
		struct task_struct *runs = (void *)*now;
		e.prev_pid = CALL(runs, pid);
		name(e.prev_comm, runs);
	}
	if (since)
		*since = e.t;
	emit(&e);
	return 0;
}

inline u32 state_of(u64 *ctx, struct task_struct *prev)
{
	if (ctx[0]) // preempted: it would go on running
		return 0;
	if (has_state)
		return ctx[3];
	if (__builtin_preserve_field_info(prev->__state, 2 /* exists */))
		return CALL(prev, __state);
	struct task_struct___old *old = (void *)prev;
	return CALL(old, state);
}

TRACEPOINT(sched_switch) int switched(u64 *ctx) // (preempt, prev, next, prev_state)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	u32 cpu = bpf_get_smp_processor_id();
	u64 *now = bpf_map_lookup_elem(&current, &cpu), *since = bpf_map_lookup_elem(&waiting, &cpu);
	if (!now || !since)
		return 0;
	*now = (u64)next;
	u32 out = watched(prev), in = watched(next);
	u64 waits = *since;
	if (!out && !in && !waits)
		return 0;
	struct event e = {.value = state_of(ctx, prev)};
	u32 prev_pid = GET(prev, pid), next_pid = GET(next, pid);
	stamp(&e, SWITCH_OUT);
	if (out) {
		e.netns = out;
		e.pid = prev_pid;
		e.prev_pid = next_pid;
		name(e.comm, prev);
		name(e.prev_comm, next);
		emit(&e);
	}
	if (out && !e.value)
		*since = e.t; // it waits for this CPU again
	else if (in || (waits && e.t - waits > WAIT_NS))
		*since = 0;
	if (in || waits) {
		e.kind = SWITCH_IN;
		e.netns = in;
		e.pid = next_pid;
		e.prev_pid = prev_pid;
		name(e.comm, next);
		name(e.prev_comm, prev);
		emit(&e);
	}
	return 0;
}

char terms[] SEC("license") = "GPL";
