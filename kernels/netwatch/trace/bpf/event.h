// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only (the kernel lends the helpers for reading to the latter only)
// What is told, to whom it is told, and about whom.
#pragma once
#include "kernel.h"

enum kind {
	DEV_QUEUE = 1, QDISC_ENQUEUE, QDISC_DEQUEUE, DEV_XMIT, NETIF_RX, NETIF_RECEIVE, SOCK_READY, RECV, DROP,
	WAKING, WAKEUP, SWITCH_IN, SWITCH_OUT,
};
enum direction { REQUEST = 1, REPLY };

enum {
	IPV4 = 0x0008, // as on the wire
	IPV6 = 0xdd86,
	TCP = 6,
	// A probe is short: longer segments are somebody's bulk, and shorter ones acknowledge without saying anything.
	SHORTEST = 67,
	LONGEST = 16384,
	TARGETS = 64, // that have a bit in open
	NESTED = 4, // namespaces of processes, one in the other, within which a task's number is looked for
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

// Whom a prober asks, and from where.
struct asked {
	struct address from;
	u32 number; // of the target
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
const volatile u8 has_state = 1;  // sched_switch says in which state the task before was
const volatile u8 has_reason = 1; // kfree_skb says why
const volatile u32 processes = 0; // the namespace of processes in which the agent looks for tasks
const volatile u32 mask = 0;      // of the number of places that each CPU has for events, a power of two

// What the probers' threads read and write too, as memory.
struct shared {
	// A bit for each target that is being asked. Of one that is not, only tasks that are made to stop are recorded: most
	// of the time nothing is under way that could be late, and all the rest would be written in vain.
	u64 open;
	// The task that read target n's last request, by its number in the root namespace, and in the agent's (0: not known).
	struct {
		u32 task, here;
	} readers[TARGETS];
} shared SEC(".data.shared");

u8 ports[8192];  // a bit for each port: one of the probers'
u8 may_be[8192]; // a bit for the last bits of each namespace in spaces: most tasks are in none of them

MAP(targets, MAP_HASH, struct end, struct asked, 1024); // who is asked → by whom
MAP(spaces, MAP_HASH, u32, u8, 1024);                     // their network namespaces → their bits in open
MAP(waiting, MAP_ARRAY, u32, u64, 1);                     // by CPU: since when one of their tasks waits for it, or 0
MAP(current, MAP_ARRAY, u32, u64, 1);                     // by CPU: the task that runs
MAP(looks, MAP_PERCPU_ARRAY, u32, struct look, 1);
MAP(written, MAP_PERCPU_ARRAY, u32, u64, 1); // events of each CPU so far

// A flight recorder: each CPU goes round in a stretch of its own, and nobody reads until there is a reason to. To hand
// every event over would cost the node more than to see them, and fail when it is busy.
struct {
	int (*type)[MAP_ARRAY];
	u32 *key;
	struct event *value;
	int (*max_entries)[1];
	int (*map_flags)[MMAPABLE];
} events SEC(".maps");

inline void emit(struct event *e)
{
	u32 zero = 0;
	u64 *n = bpf_map_lookup_elem(&written, &zero);
	if (!n)
		return;
	// An interrupt may write between these steps: each event has a place of its own.
	u64 number = __sync_fetch_and_add(n, 1);
	u32 place = bpf_get_smp_processor_id() * (mask + 1) + (number & mask);
	struct event *kept = bpf_map_lookup_elem(&events, &place);
	if (!kept)
		return;
	u64 t = e->t;
	__sync_lock_test_and_set(&kept->t, 0); // who reads now sees that it is not whole
	e->t = 0;
	*kept = *e;
	e->t = t;
	__sync_lock_test_and_set(&kept->t, t);
}
