"""The words of low-precision inference: what a conversion gains in size and speed, and what it costs in accuracy."""

from __future__ import annotations

from perfrun.language.model import Meaning
from perfrun.language.vocabulary import Phrase, Subject, Vocabulary, meaning

NAME = "optimization"
PRECISIONS = ("FP16", "BF16", "FP8", "INT8")


def _convert(precision: str) -> Meaning:
    if precision not in PRECISIONS:
        raise ValueError(f"{precision[:40]!r} is no precision known here; expected one of {', '.join(PRECISIONS)}")
    return meaning(NAME, "convert", precision=precision)


VOCABULARY = Vocabulary(
    capability=NAME,
    title="Low-precision inference",
    phrases=(
        Phrase("a pretrained transformer model", "context", lambda: meaning(NAME, "pretrained_model")),
        Phrase(
            "converting the model to {word} precision", "action", _convert,
            example="converting the model to FP16 precision",
        ),
    ),
    subjects=(
        Subject("size_decrease", ("model size",), "percent", "%", change="decrease", largest=100),
        Subject("speed_increase", ("inference speed",), "percent", "%", change="increase"),
        Subject("accuracy_decrease", ("accuracy",), "percent", "%", change="decrease", largest=100),
    ),
)  # fmt: skip
