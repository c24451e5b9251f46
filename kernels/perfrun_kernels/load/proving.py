"""Proving, before anything counts, that the rate of a schedule can be offered from here.

Where all shards have a common start, the proof has to be over before it: a shorter ladder is tried then, or none, and
the result says so. A load that begins late would not be the one that was asked for; one whose rate was not proven
beforehand still is, since the generator judges itself by its lateness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from perfrun_kernels.contract import Scalar
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.load.generator import start
from perfrun_kernels.program import Fact, Progress

STEP_SECONDS: Final = 0.5
STEPS: Final = 4
"""Rates that are tried, each twice the one before; the last is the one that is needed."""

ROOM_SECONDS: Final = 1.5
"""Between the proof and the common start: the generator is started anew, and opens its connections."""

_ANSWERS_SECONDS: Final = 1.0
_STEP_COST: Final = 0.65
_WORST_STEP: Final = 0.1 + STEP_SECONDS + _ANSWERS_SECONDS
_LEAST_RATE: Final = 20.0
_ENOUGH: Final = 0.99


@attrs.frozen
class Proof:
    """What was proven: a rate in requests per second, or why there is none, and how it was found, as a sentence."""

    rate: Scalar
    how: str


def prove(config: Mapping[str, Any], progress: Progress, clock: Callable[[], float]) -> Proof:
    """Find whether the highest rate of one shard's schedule can be offered; ``clock`` is in seconds since the epoch.

    Raises:
        UnmeasurableError: it cannot, by this generator; the facts say which rate can.
        BrokenMeasurementError: the generator broke.
    """
    rate = max(each["rate"] for each in config["segments"]) / config["shards"]
    begins = config["start_at"]
    away = begins - clock() if begins else None
    steps = steps_within(away)
    if steps == 0:
        how = f"left out: the common start was {away:.1f} s away"
        return Proof(Scalar("1/s", None, f"the proof was {how}"), how)
    # More than what is needed need not be known, and would only burden the server.
    needed = max(rate, _LEAST_RATE)
    ladder = {
        "probe_from": needed / 2 ** (steps - 1), "probe_to": needed, "probe_step_seconds": STEP_SECONDS,
        "probe_until": begins - ROOM_SECONDS if begins else 0.0, "start_at": 0.0, "records": "",
    }  # fmt: skip
    report = start({**config, **ladder}, progress, probe=True)
    found = float(report["rate"])
    progress(f"this generator can offer {found:.0f}/s of the {rate:.0f}/s that are needed")
    if found < _ENOUGH * rate and report["limited_by"] == "generator":
        msg = (
            f"generator saturated {_where(report)}, and the schedule needs {rate:.0f}/s from each of "
            f"{config['shards']} shards: use more shards or more loops"
        )
        facts: dict[str, Fact] = {"offerable_rate": found, "needed_rate": float(rate)}
        raise UnmeasurableError("GeneratorSaturated", msg, facts)
    return Proof(Scalar("1/s", found), _how(report, steps, away))


def _where(report: Mapping[str, Any]) -> str:
    if report["rate"] > 0:
        return f"at {report['rate']:.0f}/s"
    # No rate that was tried went out on time, but so much of one did go out.
    return f"at about {max(each['achieved'] * each['rate'] for each in report['steps']):.0f}/s"


def steps_within(seconds: float | None) -> int:
    """Return how many steps the ladder may have where the start is ``seconds`` away (None: there is no such start)."""
    if seconds is None:
        return STEPS
    left = seconds - ROOM_SECONDS - _WORST_STEP
    return max(0, min(STEPS, 1 + int(left / _STEP_COST))) if left >= 0 else 0


def _how(report: Mapping[str, Any], steps: int, away: float | None) -> str:
    tried = len(report["steps"])
    if report["limited_by"] == "time":
        return f"cut short after {tried} steps: the common start was {away:.1f} s away"
    if report["limited_by"] == "server":
        return f"ended after {tried} steps: the server did not answer more than {report['rate']:.0f}/s"
    if steps < STEPS:
        return f"shortened to {steps} of {STEPS} steps: the common start was {away:.1f} s away"
    return "complete"
