"""The words of telemetry: which metrics must be recorded, how often, and for how long they are kept."""

from __future__ import annotations

from perfrun.language import quantities
from perfrun.language.vocabulary import Column, Phrase, Vocabulary, meaning

NAME = "telemetry"
METRICS = ("CPU utilization", "Memory usage", "GPU utilization", "Network latency", "Throughput", "Error rates")

VOCABULARY = Vocabulary(
    capability=NAME,
    title="System metrics",
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
                Column("metric_type", choices=METRICS, key=True), Column("sampling_rate", "time"),
                Column("retention_period", "time"),
            ),
        ),
    ),
)  # fmt: skip
