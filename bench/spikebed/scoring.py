"""What an agent answered, beside what was done: delays, and who and what was taken for whom and what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final, get_args

import attrs

from perfrun_kernels.contract import SPIKE_TRUTH, Result, SpikeKind, SpikeStage, Table

KINDS: Final[tuple[SpikeKind, ...]] = get_args(SpikeKind)
STAGES: Final[tuple[SpikeStage, ...]] = get_args(SpikeStage)
NOT_SEEN: Final = "not seen"


@attrs.frozen
class Outcome:
    """One injection: what was done, and what the agent said; ``delay`` in milliseconds, None where nothing was seen.

    ``truth`` and ``named`` are pod and container, as in web-1/web; ``why`` is the agent's own sentence.
    """

    kind: SpikeKind
    delay: float | None
    truth: str
    named: str
    stage: str
    why: str = ""

    @property
    def place_right(self) -> bool:
        """Whether the container that was named is the one that was held up."""
        return self.named == self.truth

    @property
    def stage_right(self) -> bool:
        """Whether the stage that was named is the one in which this kind holds packets, or their task, up."""
        return self.stage == SPIKE_TRUTH[self.kind]


def outcomes(result: Result, pods: list[list[str]], truth: int) -> list[Outcome]:
    """Read a result; ``pods`` are the names of each pod's containers, of which the one at ``truth`` was held up."""
    found = []
    for number, row in enumerate(_rows(result.tables["injections"])):
        pod, stage = int(row["pod"]), NOT_SEEN
        if row["detected"]:
            stage = STAGES[int(row["stage"])] if row["stage"] >= 0 else "unknown"
        found.append(Outcome(
            KINDS[int(row["kind"])], 1000 * row["detect_s"] if row["detected"] else None, pods[pod][truth],
            _named(row, pods) if row["detected"] else NOT_SEEN, stage, str(result.facts.get(f"injection.{number}", "")),
        ))  # fmt: skip
    return found


def natural(result: Result) -> Counter[str]:
    """Count the spikes that nobody made by their stage; one of another pod during an injection is one, too."""
    return Counter(
        STAGES[int(row["stage"])] if row["stage"] >= 0 else "unknown"
        for name in ("natural", "elsewhere")
        if name in result.tables
        for row in _rows(result.tables[name])
    )


def p99(values: list[float]) -> float:
    """Return the 99th percentile, by the nearest rank."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def matrix(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return a confusion matrix as text: what was done by what was said."""
    counted = Counter(pairs)
    done, said = sorted({each for each, _ in counted}), sorted({each for _, each in counted})
    width = max(len(each) for each in (*done, title)) + 1
    lines = [f"{title:{width}}" + "".join(f"{each:>{max(len(each), 5) + 2}}" for each in said)]
    lines += [
        f"{truth:{width}}" + "".join(f"{counted[truth, each] or '.':>{max(len(each), 5) + 2}}" for each in said)
        for truth in done
    ]
    return "\n".join(lines)


def _named(row: dict[str, float], pods: list[list[str]]) -> str:
    pod, container = int(row["answer_pod"]), int(row["answer_container"])
    return pods[pod][container] if pod >= 0 and container >= 0 else "nobody"


def _rows(table: Table) -> list[dict[str, float]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]
