"""The words of GPU memory management: fragmentation, caches, and leaks over a stated time."""

from __future__ import annotations

from perfrun.language.model import Quantity
from perfrun.language.vocabulary import Phrase, Subject, Vocabulary, claim, meaning

NAME = "memory"

VOCABULARY = Vocabulary(
    capability=NAME,
    title="GPU memory management",
    phrases=(
        Phrase("an active inference pipeline", "context", lambda: meaning(NAME, "pipeline")),
        Phrase("processing multiple batches concurrently", "action", lambda: meaning(NAME, "concurrent_batches")),
        Phrase(
            "there should be no memory leaks over {quantity}",
            "outcome",
            lambda period: claim(NAME, "leak", "<=", Quantity(0, "GB"), "memory leaked", period=period),
            dimensions=("time",),
            example="there should be no memory leaks over 24 hours",
        ),
    ),
    subjects=(
        Subject("fragmentation", ("memory fragmentation",), "percent", "%", largest=100),
        Subject("cache_hit_rate", ("cache hit rate",), "percent", "%", largest=100),
    ),
)
