"""The words of every built-in capability, apart from how they are measured, so that lint loads nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfrun.capabilities.words import (
    custom,
    faults,
    forecast,
    load,
    memory,
    network,
    optimization,
    sampling,
    spikes,
    telemetry,
)
from perfrun.capabilities.words.custom import custom_vocabulary

if TYPE_CHECKING:
    from perfrun.api.target import Metric
    from perfrun.language.vocabulary import Vocabulary

_FIXED = (sampling, optimization, memory, load, faults, network, spikes)


def builtin(
    metrics: tuple[Metric, ...] = (), recorded: tuple[str, ...] = (), foretold: tuple[str, ...] = ()
) -> tuple[Vocabulary, ...]:
    """Return all built-in vocabularies, with what a target adds to them.

    ``metrics`` become subjects; ``recorded`` are its own types of metrics, and ``foretold`` its own histories, which
    tables may name.

    Raises:
        QuantityError: a metric has a unit that is not known.
    """
    own = (telemetry.vocabulary(recorded), forecast.vocabulary(foretold))
    return (*(module.VOCABULARY for module in _FIXED), *own, custom_vocabulary(metrics))


__all__ = ["builtin", "custom", "custom_vocabulary"]
