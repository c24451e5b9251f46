"""What an agent of kind spike handed in, read: every spike that was made, or seen although nobody made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

import attrs

from perfrun.capabilities.evidence import number
from perfrun_kernels.contract import SPIKE_TRUTH, Result, SpikeKind, SpikeStage

Answer = Literal["detect", "identify", "locate", "trace"]

_FLAGS: Final[Mapping[Answer, str]] = {
    "detect": "detected", "identify": "identified", "locate": "located", "trace": "traced",
}  # fmt: skip
_KINDS: Final[tuple[SpikeKind, ...]] = get_args(SpikeKind)
_STAGES: Final[tuple[SpikeStage, ...]] = get_args(SpikeStage)
_NEVER: Final = -1.0


class RecordError(ValueError):
    """The result is not what an agent of kind spike hands in; the message says what it lacks."""


@attrs.frozen
class Spike:
    """One spike, and what the agent made of it.

    ``kind`` and ``round`` are of one that was made (else empty and 0), ``pod`` is the one held up, ``at`` its beginning
    in seconds since the epoch. ``right`` says of each answer whether it was given and is right (proven, where nobody
    made the spike), ``after`` how many seconds after the beginning it came (None: never). ``stage`` is the part of the
    kernel that was named.
    """

    kind: SpikeKind | Literal[""]
    round: int
    pod: str
    at: float
    right: Mapping[Answer, bool]
    after: Mapping[Answer, float | None]
    stage: SpikeStage

    @property
    def truth(self) -> SpikeStage | None:
        """The stage in which a spike that was made is to be found."""
        return SPIKE_TRUTH[self.kind] if self.kind else None

    def __str__(self) -> str:
        made = f"{self.kind} {self.round + 1}" if self.kind else "one that nobody made"
        return f"{made} in {self.pod}"


@attrs.frozen
class Record:
    """All spikes: those that were ``made``, ``natural`` ones, and those in other pods while one was held up.

    ``overlaid`` are how many more were made while their pod was held up by something else already.
    """

    made: tuple[Spike, ...]
    natural: tuple[Spike, ...]
    elsewhere: tuple[Spike, ...]
    ordered: int
    overlaid: int
    refused: Mapping[str, str]


def record_of(result: Result) -> Record:
    """Return what the result tells.

    Raises:
        RecordError: a table or a column is missing.
    """
    return Record(
        made=_spikes(result, "injections"),
        natural=_spikes(result, "natural"),
        elsewhere=_spikes(result, "elsewhere"),
        ordered=int(number(result, "injections.ordered") or 0),
        overlaid=int(number(result, "injections.overlaid") or 0),
        refused={
            name.removeprefix("refused."): str(why) for name, why in result.facts.items() if name.startswith("refused.")
        },
    )


def _spikes(result: Result, name: str) -> tuple[Spike, ...]:
    table = result.tables.get(name)
    if table is None:
        msg = f"the agent's result has no table {name!r}; its image is of another version than the operator"
        raise RecordError(msg)
    pods = str(result.facts.get("pods", "")).split(", ")
    try:
        return tuple(_spike(dict(zip(table.columns, row, strict=True)), pods) for row in table.rows)
    except (KeyError, IndexError) as error:
        msg = f"table {name!r} of the agent's result cannot be read ({type(error).__name__}: {error})"
        raise RecordError(msg) from error


def _spike(row: Mapping[str, float], pods: list[str]) -> Spike:
    times = {each: row[f"{each}_s"] for each in _FLAGS}
    return Spike(
        kind=_KINDS[int(row["kind"])] if "kind" in row else "",
        round=int(row.get("round", 0)),
        pod=pods[int(row["pod"])] if row["pod"] != _NEVER else "a pod that is not the Service's",
        at=row["at_s"],
        right={answer: bool(row[flag]) for answer, flag in _FLAGS.items()},
        after={answer: None if after == _NEVER else after for answer, after in times.items()},
        stage=_STAGES[int(row["stage"])],
    )
