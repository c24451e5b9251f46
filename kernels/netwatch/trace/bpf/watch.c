// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only (the kernel lends the helpers for reading to the latter only)
// What happens to a prober's packets and to the tasks that answer them. Anything else is let go as early as can be
// told, because these programs see every packet and every switch of the node.
#include "tasks.h"

// Run only while the programs are timed: what it seems to take is what timing takes.
TRACEPOINT(sched_waking) int nothing(u64 *ctx) { return 0; }

char terms[] SEC("license") = "GPL";
