"""What converting the pretrained encoder gains in size, on a GPU in speed, and what it costs in accuracy.

Both precisions, with the bounds that verdicts are made of. On a machine without a GPU there is no row of speed.
"""

from __future__ import annotations

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


def run() -> list[Row]:
    """Return rows of name, value, its lower and upper bound at 99 %, and the promised limit."""
    return [row for precision in PRECISIONS for row in _rows(precision, _measure(precision))]


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
