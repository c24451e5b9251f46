"""The words of performance modelling: how well the past foretells each metric over a stated time ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfrun.language.model import Meaning, Quantity
from perfrun.language.vocabulary import Column, Phrase, Vocabulary, claim, meaning

NAME = "forecast"
METRICS = ("Response time", "Resource usage", "Throughput")


def _accuracy(limit: Quantity, rows: tuple[Mapping[str, Any], ...]) -> Meaning:
    return claim(NAME, "prediction_error", "<=", limit, "prediction error", rows=rows)


def vocabulary(own: tuple[str, ...] = ()) -> Vocabulary:
    """Return the words of performance modelling, with a target's ``own`` metrics among those that a table may name."""
    return Vocabulary(
        capability=NAME,
        title="Performance modelling",
        phrases=(
            Phrase("historical performance data", "context", lambda: meaning(NAME, "history")),
            Phrase("building a performance model", "action", lambda: meaning(NAME, "model")),
            Phrase(
                "prediction accuracy should be within {quantity} for:", "outcome", _accuracy,
                dimensions=("percent",), example="prediction accuracy should be within 10% for:",
                columns=(
                    Column("metric", choices=tuple(dict.fromkeys((*METRICS, *own))), key=True),
                    Column("prediction_window", "time"),
                ),
            ),
        ),
    )  # fmt: skip


VOCABULARY = vocabulary()
