"""The words of latency spikes: what must be known about one, and how soon."""

from __future__ import annotations

from perfrun.language.vocabulary import Column, Phrase, Vocabulary, meaning

NAME = "spikes"
ACTIONS = ("Detect the spike", "Identify the container", "Locate the kernel issue", "Generate trace data")

VOCABULARY = Vocabulary(
    capability=NAME,
    title="Latency spikes",
    phrases=(
        Phrase(
            "system metrics collection is enabled", "context", lambda: meaning(NAME, "collection"), neutral=True
        ),
        Phrase("a latency spike occurs", "action", lambda: meaning(NAME, "spike")),
        Phrase(
            "the monitoring system should:", "outcome", lambda rows: meaning(NAME, "actions", rows=rows),
            columns=(Column("action", choices=ACTIONS, key=True), Column("threshold", "time")),
        ),
    ),
)  # fmt: skip
