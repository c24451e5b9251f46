"""The words of telemetry: which metrics must be recorded, how often, and for how long they are kept."""

from __future__ import annotations

from perfrun.language import quantities
from perfrun.language.model import Problem, Scenario
from perfrun.language.vocabulary import Column, Phrase, Vocabulary, meaning, steps_of

NAME = "telemetry"
METRICS = ("CPU utilization", "Memory usage", "GPU utilization", "Network latency", "Throughput", "Error rates")


def _check(scenario: Scenario) -> tuple[Problem, ...]:
    if steps_of(scenario, "collect"):
        return ()
    example = "When collecting metrics for 1 hour"
    message = f"the scenario lacks a step such as {example!r}; add it"
    return (Problem(scenario.location, "missing-step", message, example),)


def vocabulary(own: tuple[str, ...] = ()) -> Vocabulary:
    """Return the words of telemetry, with a target's ``own`` types of metrics among those that a table may name."""
    return Vocabulary(
        capability=NAME,
        title="System metrics",
        check=_check,
        phrases=(
            Phrase(
                "the monitoring system is configured", "context", lambda: meaning(NAME, "monitoring"), neutral=True
            ),
            Phrase(
                "collecting metrics for {quantity}", "action",
                lambda period: meaning(NAME, "collect", seconds=quantities.convert(period, "s")),
                dimensions=("time",), example="collecting metrics for 1 hour",
            ),
            Phrase(
                "the following metrics should be recorded:", "outcome",
                lambda rows: meaning(NAME, "recorded", rows=rows),
                columns=(
                    Column("metric_type", choices=tuple(dict.fromkeys((*METRICS, *own))), key=True),
                    Column("sampling_rate", "time"), Column("retention_period", "time"),
                ),
            ),
        ),
    )  # fmt: skip


VOCABULARY = vocabulary()
