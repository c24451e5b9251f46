// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only (the kernel lends the helpers for reading to the latter only)
// The tasks of watched network namespaces: what they read, when they are woken and when they run.
#pragma once
#include "packets.h"

inline u32 space(struct task_struct *task)
{
	struct nsproxy *proxy = GET(task, nsproxy); // none: the task is ending
	if (!proxy)
		return 0;
	struct net *net = GET(proxy, net_ns);
	return net ? GET(net, ns.inum) : 0;
}

// The task's network namespace, where it is a target's, and whether that target is being asked.
inline u32 watched(struct task_struct *task, u64 *asked)
{
	u32 netns = space(task);
	*asked = 0;
	if (!(may_be[netns >> 3 & 8191] >> (netns & 7) & 1))
		return 0;
	u8 *number = bpf_map_lookup_elem(&spaces, &netns);
	if (!number)
		return 0;
	*asked = shared.open >> (*number & 63) & 1;
	return netns;
}

inline u32 asked(struct task_struct *task)
{
	u64 asked = 0;
	u32 netns = shared.open ? watched(task, &asked) : 0;
	return asked ? netns : 0;
}

inline u32 queue_of(struct task_struct *task)
{
	if (__builtin_preserve_field_info(task->thread_info.cpu, 2 /* exists */))
		return CALL(task, thread_info.cpu);
	struct task_struct___old *old = (void *)task;
	return CALL(old, cpu);
}

// The task's number where the agent looks for it: a node may be a container, with a namespace of processes of its own.
inline u32 here(struct task_struct *task)
{
	struct pid *pid = CALL(task, thread_pid);
	u32 level = CALL(pid, level);
	struct upid *numbers = __builtin_preserve_access_index(&pid->numbers[0]);
#pragma unroll
	for (u32 i = 0; i < NESTED; i++) {
		struct upid one = {};
		bpf_probe_read_kernel(&one, sizeof(one), numbers + i);
		if (i <= level && CALL(one.ns, ns.inum) == processes)
			return one.nr;
	}
	return 0;
}

TRACEPOINT(skb_copy_datagram_iovec) int recv(u64 *ctx) // (skb, len): in the task that reads
{
	struct sk_buff *skb = (void *)ctx[0];
	struct event e = {};
	u32 target = shared.open && ctx[1] <= LONGEST ? probe(skb, &e) : 0;
	if (!target)
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
	if (e.dir == REQUEST && target <= TARGETS) {
		u32 n = (target - 1) % TARGETS;
		shared.readers[n].here = here(task);
		shared.readers[n].task = e.pid;
	}
	return 0;
}

inline void name(char *to, struct task_struct *task) { bpf_probe_read_kernel(to, 16, &task->comm); }

TRACEPOINT(sched_waking) int waking(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 netns = asked(task);
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
	u32 netns = asked(task);
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
	u64 waits = *since;
	u32 state = state_of(ctx, prev);
	// A task that is made to stop may be waiting still when a target is asked.
	if (!shared.open && !waits && state)
		return 0;
	u64 out_asked, in_asked;
	u32 out = watched(prev, &out_asked), in = watched(next, &in_asked);
	int leaves = out && (out_asked || waits || !state);
	if (!leaves && !waits && !in_asked)
		return 0;
	struct event e = {.value = state};
	u32 prev_pid = GET(prev, pid), next_pid = GET(next, pid);
	stamp(&e, SWITCH_OUT);
	if (leaves) {
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
	if (in_asked || waits) {
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
