"""The words of container networking: what the kernel adds, what gets lost, and how much gets through."""

from __future__ import annotations

from perfrun.language.vocabulary import Phrase, Subject, Vocabulary, meaning

NAME = "network"

VOCABULARY = Vocabulary(
    capability=NAME,
    title="Container networking",
    phrases=(
        Phrase("a containerized ML serving environment", "context", lambda: meaning(NAME, "environment")),
        Phrase("processing inference requests at peak load", "action", lambda: meaning(NAME, "peak_load")),
    ),
    subjects=(
        Subject("kernel_latency", ("kernel-level network latency",), "time", "ms"),
        Subject("packet_loss", ("packet loss rate", "packet loss"), "percent", "%", largest=100),
        Subject("throughput", ("network throughput",), "bits/time", "Gbit/s"),
    ),
)
