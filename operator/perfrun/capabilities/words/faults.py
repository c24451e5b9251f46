"""The words of fault tolerance: nodes that fail, and what the others must still do."""

from __future__ import annotations

from perfrun.language.model import Problem, Quantity, Scenario
from perfrun.language.vocabulary import Phrase, Subject, Vocabulary, claim, meaning, steps_of

NAME = "faults"


def _check(scenario: Scenario) -> tuple[Problem, ...]:
    nodes = [each.values["count"] for each in scenario.meanings("nodes")]
    failures = steps_of(scenario, "fail_nodes")
    if not nodes:
        example = "Given a distributed system with 5 nodes"
        message = f"the scenario lacks a step such as {example!r}; add it"
        return (Problem(scenario.location, "missing-step", message, example),)
    if not failures:
        example = "When 1 node fails"
        message = f"the scenario lacks a step such as {example!r}; add it"
        return (Problem(scenario.location, "missing-step", message, example),)
    return tuple(
        Problem(
            step.location, "too-many-failures",
            f"{step.meaning.values['count']} of {min(nodes)} nodes fail, so none remains to take over; "
            f"expected at most {min(nodes) - 1}",
        )
        for step in failures
        if step.meaning is not None and step.meaning.values["count"] >= min(nodes)
    )  # fmt: skip


VOCABULARY = Vocabulary(
    capability=NAME,
    title="Fault tolerance",
    check=_check,
    phrases=(
        Phrase(
            "a distributed system with {count} node(s)", "context",
            lambda count: meaning(NAME, "nodes", count=count), example="a distributed system with 5 nodes",
        ),
        Phrase(
            "{count} node(s) fail(s) simultaneously", "action",
            lambda count: meaning(NAME, "fail_nodes", count=count), example="2 nodes fail simultaneously",
        ),
        Phrase(
            "{count} node(s) fail(s)", "action",
            lambda count: meaning(NAME, "fail_nodes", count=count), example="1 node fails",
        ),
        Phrase(
            "remaining nodes should rebalance within {quantity}", "outcome",
            lambda limit: claim(NAME, "rebalance_time", "<=", limit, "time to rebalance"),
            dimensions=("time",), example="remaining nodes should rebalance within 10 seconds",
        ),
        Phrase(
            "no requests should be dropped during failover", "outcome",
            lambda: claim(NAME, "dropped", "<=", Quantity(0, "requests"), "requests dropped"),
        ),
    ),
    subjects=(
        Subject("throughput", ("throughput",), "percent", "%", relative_to="of normal", largest=100),
    ),
)  # fmt: skip
