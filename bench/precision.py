"""What converting the pretrained encoder gains in size, on a GPU in speed, and what it costs in accuracy.

Both precisions, with the bounds that verdicts are made of. On a machine without a GPU there is no row of speed. How
often a verdict on accuracy is wrong is no measurement: the chances of all outcomes are summed.
"""

from __future__ import annotations

import math
from itertools import product

from perfrun.measuring.noninferiority import decrease
from perfrun.measuring.ratios import ratio_of_turns
from perfrun_kernels.program import Measurement, Task, find

Row = tuple[str, float, float, float, float]

PRECISIONS = ("FP16", "BF16")
ITEMS = 4000
ROUNDS = 40
CONFIDENCE = 0.99
BUDGET_SECONDS = 600.0
LARGEST_SIZE_PERCENT = 60.0
LARGEST_LOSS_POINTS = 1.0
ASKED = 2000
MARGIN = 0.01
DIFFERING = (0.011, 0.015, 0.02, 0.03)
"""Shares of texts that tell the models apart, where one is right on ``MARGIN`` more of them than the other."""

ALIKE = (0.001, 0.002, 0.005, 0.008)
"""The same shares where both are right equally often."""


def run() -> list[Row]:
    """Return rows of name, value, its lower and upper bound at 99 %, and the promised limit."""
    return [*_errors(), *(row for precision in PRECISIONS for row in _rows(precision, _measure(precision)))]


def _errors() -> list[Row]:
    passed = [100 * _passing((share + MARGIN) / 2, (share - MARGIN) / 2) for share in DIFFERING]
    missed = [100 * (1 - _passing(share / 2, share / 2)) for share in ALIKE]
    what = f"{ASKED} texts, margin of 1 point: verdicts that"
    return [
        (f"{what} pass a model that lost the margin, worst %", max(passed), min(passed), max(passed), 1.2),
        (f"{what} do not pass one that lost nothing, worst %", max(missed), min(missed), max(missed), 5.0),
    ]


def _passing(before: float, after: float) -> float:
    """Return the chance of a pass where so large shares of the texts are right only before, and only after."""
    ranges = (range(round(ASKED * share + 7 * math.sqrt(ASKED * share) + 7)) for share in (before, after))
    likely = [(one, other, _chance(one, other, before, after)) for one, other in product(*ranges)]
    return sum(
        chance
        for one, other, chance in likely
        if chance > 1e-9 and decrease(ASKED - one - other, one, other, 0, CONFIDENCE).upper <= MARGIN
    )


def _chance(one: int, other: int, before: float, after: float) -> float:
    rest = ASKED - one - other
    ways = math.lgamma(ASKED + 1) - math.lgamma(one + 1) - math.lgamma(other + 1) - math.lgamma(rest + 1)
    return math.exp(ways + one * math.log(before) + other * math.log(after) + rest * math.log(1 - before - after))


def _measure(precision: str) -> Measurement:
    parameters = {"precision": precision, "items": ITEMS, "rounds": ROUNDS}
    return find("precision")(Task(parameters, BUDGET_SECONDS, lambda _: None))


def _rows(precision: str, measured: Measurement) -> list[Row]:
    facts = measured.facts
    size = 100 * _number(measured, "size.after") / _number(measured, "size.before")
    both, before, after, neither = (
        int(_number(measured, f"accuracy.{name}")) for name in ("both", "only_before", "only_after", "neither")
    )
    lost = decrease(both, before, after, neither, CONFIDENCE)
    right = 100 * _number(measured, "accuracy.before")
    rows = [
        (f"{precision}: bytes of {facts['model']}, % of FP32", size, size, size, LARGEST_SIZE_PERCENT),
        (
            f"{precision} on {facts['device']}: points lost of {right:.1f} % right, {facts['items']} sentences",
            100 * lost.value, 100 * lost.lower, 100 * lost.upper, LARGEST_LOSS_POINTS,
        ),
    ]  # fmt: skip
    if "speed.before" in measured.series:
        slow, fast = measured.series["speed.before"], measured.series["speed.after"]
        ratio = ratio_of_turns(slow.values, slow.starts, fast.values, fast.starts, CONFIDENCE)
        name = f"{precision}: times as fast as FP32 on {facts['device_name']}"
        rows.append((name, ratio.value, ratio.lower, ratio.upper, 0.0))
    return rows


def _number(measured: Measurement, name: str) -> float:
    scalar = measured.scalars[name]
    if scalar.value is None:
        raise ValueError(scalar.reason)
    return scalar.value


if __name__ == "__main__":
    for name, value, lower, upper, limit in run():
        print(f"{name}: {value:.4g}, {lower:.4g} to {upper:.4g} (promised: < {limit:.4g})")
