"""What an object says to someone who waits for its verdict: a pure reading of what is stored.

A pass must be of this very generation, finished, and young enough; anything else is either a reason to wait on or an
end that is no pass. This is the one place where the command line decides that, and it follows the order in which
GitOps tools read a status.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.api.durations import seconds
from perfrun.api.run import Phase
from perfrun.api.verdicts import Verdict

_FINISHED: Final = {phase.value for phase in Phase if phase.finished}


@attrs.frozen
class Standing:
    """Where a verdict stands: ``verdict`` is set once there is one that counts; ``run`` names the PerfRun behind it."""

    message: str
    verdict: Verdict | None = None
    run: str = ""


def standing(stored: Mapping[str, Any], now: dt.datetime) -> Standing:
    """Return where the verdict on a stored PerfFeature or PerfRun stands at a moment."""
    metadata, status = stored["metadata"], stored.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return Standing("it is being deleted", Verdict.ERROR)
    if status.get("observedGeneration") != metadata.get("generation"):
        return Standing("the operator has not looked at this generation yet")
    return _run(stored, status) if stored["kind"] == "PerfRun" else _feature(stored, status, now)


def _run(stored: Mapping[str, Any], status: Mapping[str, Any]) -> Standing:
    name, phase = stored["metadata"]["name"], status.get("phase", "Pending")
    message = status.get("message") or phase
    if phase not in _FINISHED:
        return Standing(message, run=name)
    # A cancelled run may have judged scenarios, but it was not let finish.
    verdict = Verdict.INCONCLUSIVE if phase == Phase.CANCELLED else Verdict(status.get("verdict") or Verdict.ERROR)
    return Standing(message, verdict, name)


def _feature(stored: Mapping[str, Any], status: Mapping[str, Any], now: dt.datetime) -> Standing:
    generation = stored["metadata"]["generation"]
    conditions = {
        each["type"]: each
        for each in status.get("conditions") or ()
        if each.get("observedGeneration", generation) == generation
    }
    run = (status.get("lastRun") or {}).get("name", "")
    message = status.get("message") or ""
    if _true(conditions, "Stalled"):
        # Without a verdict nothing ran: the feature itself is what is wrong.
        verdict = Verdict(status.get("verdict") or Verdict.ERROR)
        said = message or conditions["Stalled"].get("message", "")
        return Standing(said, Verdict.ERROR if verdict is Verdict.PASS else verdict, run)
    if _true(conditions, "Reconciling") or not _true(conditions, "Ready"):
        waiting = "it is suspended" if stored["spec"].get("suspend") else "waiting for the first look"
        return Standing(message or waiting, run=status.get("activeRun") or "")
    if _too_old(stored, status, now):
        return Standing(f"the verdict is older than maxAge {stored['spec']['maxAge']}; waiting for a new one", run=run)
    if status.get("verdict") != Verdict.PASS:
        return Standing("the status contradicts itself: Ready without the verdict Pass", Verdict.ERROR, run)
    return Standing(message, Verdict.PASS, run)


def _too_old(stored: Mapping[str, Any], status: Mapping[str, Any], now: dt.datetime) -> bool:
    age, finished = stored["spec"].get("maxAge"), (status.get("lastRun") or {}).get("finishedAt")
    if age is None:
        return False
    return finished is None or now - dt.datetime.fromisoformat(finished) > dt.timedelta(seconds=seconds(age))


def _true(conditions: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return name in conditions and conditions[name].get("status") == "True"
