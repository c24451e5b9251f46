"""Gathering what both engines measure into the series and scalars of one result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from perfrun_kernels.contract import Scalar, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

NANO_DIGITS = 9
"""Decimals of a second that a result keeps: clocks here resolve no less than a nanosecond."""


@attrs.define
class Samples:
    """Everything timed so far; durations in seconds.

    ``tokens`` and ``decode_seconds`` are totals over all decoding, unfinished rounds included: their ratio is the
    steady-state throughput. Round-level lists hold whole rounds only. ``overhead_seconds`` is what the harness spent
    between ``overhead_steps`` steps.
    """

    step: list[float] = attrs.field(factory=list)
    starts: list[int] = attrs.field(factory=list)
    ttft: list[float] = attrs.field(factory=list)
    tpot: list[float] = attrs.field(factory=list)
    e2e: list[float] = attrs.field(factory=list)
    rate: list[float] = attrs.field(factory=list)
    rounds: int = 0
    tokens: int = 0
    decode_seconds: float = 0.0
    overhead_seconds: float = 0.0
    overhead_steps: int = 0

    def begin(self) -> None:
        """Mark that the next step is the first of an independent stretch (a round, or a stream)."""
        if not self.starts or self.starts[-1] != len(self.step):
            self.starts.append(len(self.step))

    def series(self) -> dict[str, Series]:
        """Return the series of a result; those without a sample are left out."""
        starts = [start for start in self.starts if start < len(self.step)]
        lists: Sequence[tuple[str, str, list[float], list[int]]] = (
            ("step_seconds", "s", self.step, starts),
            ("ttft_seconds", "s", self.ttft, [0]),
            ("tpot_seconds", "s", self.tpot, [0]),
            ("e2e_seconds", "s", self.e2e, [0]),
            ("round_tokens_per_second", "1/s", self.rate, [0]),
        )
        return {
            name: Series(unit=unit, values=[round(value, NANO_DIGITS) for value in values], starts=marks)
            for name, unit, values, marks in lists
            if values
        }

    def throughput(self) -> Scalar:
        """Return generated tokens per second of decoding over all sequences."""
        if self.decode_seconds > 0:
            return Scalar("1/s", self.tokens / self.decode_seconds)
        return Scalar("1/s", None, "no decoding step was finished, so there is no throughput")

    def overhead(self) -> Scalar:
        """Return the harness's own seconds per step."""
        if self.overhead_steps:
            return Scalar("s", max(0.0, self.overhead_seconds / self.overhead_steps))
        return Scalar("s", None, "no decoding step was finished, so the harness has no overhead to show")
