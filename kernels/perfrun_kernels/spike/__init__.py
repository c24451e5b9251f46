"""The fault agent of kind spike: it watches containers for latency spikes, makes some, and says what the kernel did.

A Go program (perfrun-netwatch) probes, alarms, injects and records; what is here reads its lines as they come, and
turns each spike into an answer: whose container, which stage of the kernel, and a trace to look at.
"""
