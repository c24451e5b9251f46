"""The words of container networking: what the kernel adds, what gets lost, and how much gets through."""

from __future__ import annotations

from perfrun.language.model import Problem, Scenario
from perfrun.language.vocabulary import Phrase, Subject, Vocabulary, meaning, steps_of

NAME = "network"


def _check(scenario: Scenario) -> tuple[Problem, ...]:
    if steps_of(scenario, "peak_load"):
        return ()
    example = "When processing inference requests at peak load"
    message = f"the scenario lacks a step such as {example!r}; add it"
    return (Problem(scenario.location, "missing-step", message, example),)


VOCABULARY = Vocabulary(
    capability=NAME,
    title="Container networking",
    check=_check,
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
