// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only (the kernel lends the helpers for reading to the latter only)
// What the programs need of the kernel: a few helpers, and the fields that are read of its structures. The loader puts
// the fields' real offsets in (CO-RE), so that only their names and their order of nesting matter here.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define inline __attribute__((always_inline)) static inline
#define BY_NAME __attribute__((preserve_access_index))
#define MAP(name, kind, key_type, value_type, entries) \
	struct { \
		int (*type)[kind]; \
		key_type *key; \
		value_type *value; \
		int (*max_entries)[entries]; \
	} name SEC(".maps")

enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6 };

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_get_current_comm)(void *to, u32 size) = (void *)16;
static u64 (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;

enum { MMAPABLE = 1024 };

// A typed tracepoint's arguments may be followed by plain loads. A raw tracepoint's are numbers: every step is a call.
#define CALL(from, field) \
	({ \
		typeof((from)->field) got = 0; \
		bpf_probe_read_kernel(&got, sizeof(got), __builtin_preserve_access_index(&(from)->field)); \
		got; \
	})
#ifdef RAW
#define GET(from, field) CALL(from, field)
#define TRACEPOINT(name) SEC("raw_tracepoint/" #name)
#else
#define GET(from, field) ((from)->field)
#define TRACEPOINT(name) SEC("tp_btf/" #name)
#endif

struct ns_common {
	u32 inum;
} BY_NAME;

struct net {
	struct ns_common ns;
} BY_NAME;

typedef struct {
	struct net *net;
} BY_NAME possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
} BY_NAME;

struct sock_common {
	u16 skc_dport; // as on the wire
	u16 skc_num;
	possible_net_t skc_net;
} BY_NAME;

struct sock {
	struct sock_common __sk_common;
} BY_NAME;

struct sk_buff {
	u32 len;
	struct net_device *dev;
	u16 protocol;
	u16 network_header;
	u8 *head;
} BY_NAME;

struct nsproxy {
	struct net *net_ns;
} BY_NAME;

struct thread_info {
	u32 cpu;
} BY_NAME;

struct pid_namespace {
	struct ns_common ns;
} BY_NAME;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

// A task's numbers: one in the root namespace of processes, and one in each that is nested in it down to its own.
struct pid {
	u32 level;
	struct upid numbers[1];
} BY_NAME;

struct task_struct {
	struct thread_info thread_info;
	u32 __state;
	int pid;
	char comm[16];
	struct nsproxy *nsproxy;
	struct pid *thread_pid;
} BY_NAME;

// As before Linux 5.16 and 5.14.
struct task_struct___old {
	u32 cpu;
	long state;
} BY_NAME;
