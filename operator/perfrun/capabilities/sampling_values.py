"""How the samples of a sampling pod become values: percentiles of step times, tokens per second, memory.

Apart from planning, because the two change for different reasons: this module follows statistics, that one targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.evidence import completed, lacking, number, place, source, window
from perfrun.capabilities.gpu import disturbed, spoilt
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun.measuring.correlation import effective_for_quantile
from perfrun.measuring.looks import spent
from perfrun.measuring.means import Interval, mean, rate
from perfrun.measuring.percentiles import Bounds, bounds
from perfrun.measuring.warmup import steady_state
from perfrun_kernels.contract import Result, Series

STEPS: Final = "step_seconds"
ROUNDS: Final = "round_tokens_per_second"
MEMORY: Final = "gpu_memory_peak"

_FEWEST_ROUNDS: Final = 5
_SERVERS_OWN: Final[Mapping[str, str]] = {STEPS: "itl", "ttft_seconds": "ttft", "e2e_seconds": "e2e"}
_SCALES: Final = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def measure(claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
    """Return the value that the evidence gives for a claim of sampling, in the claim's unit."""
    result = completed(evidence)
    if isinstance(result, NotMeasured):
        return result
    key = claim.subject.partition(".")[2]
    trouble = spoilt(result) if key == "gpu_memory" else disturbed(result)
    if trouble is not None:
        return _nothing(*trouble, evidence, result)
    if key == "gpu_memory":
        return _memory(claim, evidence, result)
    if key == "throughput":
        return _throughput(claim, evidence, result, confidence)
    return _latency(claim, evidence, result, confidence)


def describe(facts: Mapping[str, JSON]) -> str:
    """Return on what a value was measured, such as ``on cpu, 3.1 M parameters, float32``; a GPU has its card's name."""
    parts = []
    if device := facts.get("device"):
        name = f" ({facts['device_name']})" if device == "cuda" and facts.get("device_name") else ""
        parts.append(f"on {device}{name}")
    count = facts.get("parameters")
    if isinstance(count, (int, float)) and count > 0:
        parts.append(f"{_scaled(float(count))} parameters")
    if facts.get("dtype"):
        parts.append(str(facts["dtype"]))
    if not parts and facts.get("engine"):
        parts.append(f"engine {facts['engine']}")
    return ", ".join(parts)


def _scaled(count: float) -> str:
    size, letter = next(((size, letter) for size, letter in _SCALES if count >= size), (1.0, ""))
    return f"{count / size:.3g} {letter}".rstrip()


@attrs.frozen
class _Steady:
    """The samples of a series that count, and the rounds among them."""

    values: Sequence[float]
    starts: Sequence[int]
    cut: int


def _steady(name: str, evidence: Evidence, result: Result) -> _Steady | NotMeasured:
    series = result.series.get(name, Series(unit="s", values=[]))
    if not series.values:
        message = f"the benchmark pod sent no samples of {name.replace('_', ' ')}"
        return _nothing("NoSamples", message, evidence, result)
    found = steady_state(series.values, series.starts)
    if not found.found:
        message = (
            f"no steady state was found, the samples still drift by {abs(found.drift):.0%} "
            f"after the first {found.cut} of {len(series.values)} were left out as warm-up"
        )
        return _nothing("NoSteadyState", message, evidence, result)
    starts = [0, *(start - found.cut for start in series.starts if start > found.cut)]
    return _Steady(series.values[found.cut :], starts, found.cut)


def _latency(claim: Claim, evidence: Evidence, result: Result, confidence: float) -> Measured | NotMeasured:
    steady = _steady(str(claim.parameters["series"]), evidence, result)
    if isinstance(steady, NotMeasured):
        return steady
    quantile = float(claim.parameters["quantile"])
    # The pod may have stopped at any of its looks; the interval must hold at whichever it was.
    at_each_look = spent(confidence, int(claim.parameters.get("looks", 0)))
    plain = bounds(steady.values, quantile, at_each_look)
    worth = effective_for_quantile(steady.values, plain.value, steady.starts) / int(claim.parameters.get("streams", 1))
    found = bounds(steady.values, quantile, at_each_look, worth)
    factor = quantities.convert(Quantity(1.0, "s"), claim.unit)
    return _measured(found, factor, claim, evidence, result, warm_up_samples=steady.cut)


def _throughput(claim: Claim, evidence: Evidence, result: Result, confidence: float) -> Measured | NotMeasured:
    factor = quantities.convert(Quantity(1.0, "tokens/s"), claim.unit)
    rounds = result.series.get(ROUNDS, Series(unit="1/s", values=[])).values
    if len(rounds) > _FEWEST_ROUNDS:
        # The first round holds the warm-up; rounds are independent of each other by construction.
        return _measured(mean(rounds[1:], confidence), factor, claim, evidence, result, warm_up_rounds=1)
    steady = _steady(STEPS, evidence, result)
    if isinstance(steady, NotMeasured):
        return steady
    found = rate(float(claim.parameters["batch_size"]), steady.values, confidence, steady.starts)
    return _measured(found, factor, claim, evidence, result, warm_up_samples=steady.cut)


def _memory(claim: Claim, evidence: Evidence, result: Result) -> Measured | NotMeasured:
    scalar = result.scalars.get(MEMORY)
    if scalar is None or scalar.value is None:
        reason = "NoGPU" if result.facts.get("device") == "cpu" else "NoReading"
        return _nothing(
            reason, lacking(result, MEMORY) or "the benchmark pod sent no reading of GPU memory", evidence, result
        )
    exact = Interval(scalar.value, scalar.value, scalar.value, 1, 1.0)
    factor = quantities.convert(Quantity(1.0, scalar.unit), claim.unit)
    beside = number(result, "torch_memory_peak")
    extra = {} if beside is None else {"torch_memory_peak_bytes": beside}
    return _measured(exact, factor, claim, evidence, result, **extra)


def _measured(
    found: Bounds | Interval, factor: float, claim: Claim, evidence: Evidence, result: Result, **extra: float
) -> Measured:
    return Measured(
        value=found.value * factor,
        lower=found.lower * factor,
        upper=found.upper * factor,
        samples=found.samples,
        effective_samples=found.effective_samples,
        window=window(result),
        source=place(evidence),
        facts=_facts(claim, result) | extra,
        note=", ".join(part for part in (describe(result.facts), _by_the_server(claim, result)) if part),
    )


def _by_the_server(claim: Claim, result: Result) -> str:
    """Return what the server itself says of the same figure, which decides nothing, or nothing."""
    figure = _SERVERS_OWN.get(str(claim.parameters.get("series")))
    mean_seconds = result.facts.get(f"server_{figure}_mean_seconds")
    return "" if mean_seconds is None else f"by the server's own count {mean_seconds} s on average"


def _facts(claim: Claim, result: Result) -> dict[str, JSON]:
    # The pod knows its own names of sizes; the feature's is the one that people look for.
    size = claim.parameters.get("model_size")
    return dict(result.facts) | ({"model_size": str(size)} if size else {})


def _nothing(reason: str, message: str, evidence: Evidence, result: Result) -> NotMeasured:
    return NotMeasured(
        reason=reason,
        message=message,
        source=source(evidence),
        window=window(result),
        facts=dict(result.facts),
    )
