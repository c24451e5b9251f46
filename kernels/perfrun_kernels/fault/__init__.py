"""The fault agent: what makes one node fail for a while, so that a run can see what its system does then.

Every fault is something that the kernel ends by itself: packets are dropped by set elements that expire, processes are
stopped by a tracer whose death lets them go. So nothing that happens to the agent, the kubelet, the operator or the API
server makes a fault last longer than it was ordered to. The standard library is all that is used: an agent has to be
armed within a fraction of a second. Latency spikes are made elsewhere (perfrun_kernels.spike), with a guard that
outlives their maker; here is what cleans up after them too.
"""
