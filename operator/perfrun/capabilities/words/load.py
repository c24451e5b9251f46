"""The words of load balancing: workload profiles, growing traffic, and how evenly nodes share it."""

from __future__ import annotations

from perfrun.language.expressions import nearest
from perfrun.language.model import Problem, Quantity, Scenario
from perfrun.language.vocabulary import Column, Phrase, Subject, Vocabulary, claim, meaning, steps_of

NAME = "load"


def _check(scenario: Scenario) -> tuple[Problem, ...]:
    problems = []
    defined = [row["profile_type"] for each in scenario.meanings("profiles") for row in each.values["rows"]]
    for step in steps_of(scenario, "profile"):
        name = step.meaning.values["profile"] if step.meaning else ""
        if not defined:
            message = (
                f"the workload profile {name!r} is defined nowhere; add a step 'Given the following workload "
                "profiles:' with a table of profile_type, qps and request_size"
            )
            problems.append(Problem(step.location, "missing-step", message))
        elif name not in defined:
            message = f"the workload profile {name!r} is not in the table; expected one of {', '.join(defined)}"
            problems.append(Problem(step.location, "unknown-profile", message, nearest(name, defined)))
    if not steps_of(scenario, "profile"):
        example = 'Given a "light" workload profile'
        message = f"the scenario lacks a step such as {example!r}; add it"
        problems.append(Problem(scenario.location, "missing-step", message, example))
    for step in steps_of(scenario, "scale"):
        if step.meaning is not None and step.meaning.values["factor"] <= 1:
            message = f"{step.text!r} is no increase; expected a factor above 1 such as 2x, or a percentage such as 50%"
            problems.append(Problem(step.location, "no-increase", message, "traffic increases by 2x"))
    return tuple(problems)


def _factor(said: Quantity) -> float:
    """Return by what traffic is multiplied: 2x doubles it, and so does an increase by 100%."""
    return 1 + said.value / 100 if said.unit == "%" else said.value


VOCABULARY = Vocabulary(
    capability=NAME,
    title="Load balancing",
    check=_check,
    phrases=(
        Phrase("a cluster of serving nodes", "context", lambda: meaning(NAME, "serving_nodes"), neutral=True),
        Phrase(
            "the following workload profiles:",
            "context",
            lambda rows: meaning(NAME, "profiles", rows=rows),
            neutral=True,
            columns=(
                Column("profile_type", key=True), Column("qps", "number"),
                Column("request_size", choices=("small", "medium", "large")),
            ),
        ),
        Phrase(
            "a {string} workload profile", "context", lambda name: meaning(NAME, "profile", profile=name),
            example='a "light" workload profile',
        ),
        Phrase(
            "traffic increases by {quantity}", "action", lambda factor: meaning(NAME, "scale", factor=_factor(factor)),
            dimensions=("ratio",), example="traffic increases by 2x",
        ),
        Phrase(
            "no node should exceed {quantity} CPU utilization", "outcome",
            lambda limit: claim(NAME, "cpu", "<=", limit, "CPU utilization of the busiest node"),
            dimensions=("percent",), example="no node should exceed 70% CPU utilization",
        ),
    ),
    subjects=(
        Subject("difference", ("load difference between nodes", "load difference"), "percent", "%"),
        Subject(
            "response_time", ("response time {percentile}", "{percentile} response time"), "time", "ms",
            parameters=("percentile",), example="response time p95",
        ),
    ),
)  # fmt: skip
