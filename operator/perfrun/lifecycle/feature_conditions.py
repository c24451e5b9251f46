"""What a PerfFeature's conditions say, as rules asked in order; the first that answers decides.

``Running`` stands beside the verdict, so that a periodic run does not turn every dashboard to "progressing".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from perfrun.api.durations import seconds
from perfrun.api.feature import FeatureSpec, LastRun
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.conditions import Condition


@attrs.frozen
class FeatureView:
    """What the rules look at; ``last`` is the last finished run of the current spec, if there is one."""

    spec: FeatureSpec
    active_run: str
    last: LastRun | None
    retry_at: dt.datetime | None
    now: dt.datetime


Conditions = tuple[Condition, ...]
Rule = Callable[[FeatureView], Conditions | None]


def feature_conditions(view: FeatureView) -> Conditions:
    """Return the conditions, Ready first."""
    running = (Condition("Running", "True", "RunUnderWay", view.active_run),) if view.active_run else ()
    return (*next(found for rule in RULES if (found := rule(view)) is not None), *running)


def expired(spec: FeatureSpec, last: LastRun, now: dt.datetime) -> bool:
    """Whether the verdict is past the age at which it still counts."""
    return spec.max_age is not None and now >= last.finished_at + dt.timedelta(seconds=seconds(spec.max_age))


def _suspended(view: FeatureView) -> Conditions | None:
    if view.last is None and view.spec.suspend and not view.active_run:
        return (Condition("Ready", "Unknown", "Suspended", "suspended before a run of this spec"),)
    return None


def _first_run(view: FeatureView) -> Conditions | None:
    if view.last is not None:
        return None
    text = f"first run of this spec: {view.active_run}" if view.active_run else "waiting for the first run"
    return (Condition("Ready", "Unknown", "FirstRun", text), Condition("Reconciling", "True", "FirstRun", text))


def _expired(view: FeatureView) -> Conditions | None:
    if view.last is None or not expired(view.spec, view.last, view.now):
        return None
    text = f"the verdict of {view.last.name} is older than {view.spec.max_age}"
    return (
        Condition("Ready", "Unknown", "VerdictExpired", text),
        Condition("Reconciling", "True", "VerdictExpired", text),
    )


def _passed(view: FeatureView) -> Conditions | None:
    if view.last is None or view.last.verdict is not Verdict.PASS:
        return None
    return (Condition("Ready", "True", "Passed", _told(view.last)),)


def _violated(view: FeatureView) -> Conditions | None:
    if view.last is None or view.last.verdict is not Verdict.FAIL:
        return None
    return _stalled("SLOViolated", _told(view.last))


def _will_retry(view: FeatureView) -> Conditions | None:
    if view.last is None or (view.retry_at is None and not view.active_run):
        return None
    text = _told(view.last)
    return (
        Condition("Ready", "Unknown", view.last.reason or view.last.verdict.value, text),
        Condition("Reconciling", "True", "ProgressingWithRetry", text),
    )


def _gave_up(view: FeatureView) -> Conditions | None:
    reason = (view.last.reason or view.last.verdict.value) if view.last else "Unknown"
    return _stalled(reason, _told(view.last) if view.last else "")


def _stalled(reason: str, text: str) -> Conditions:
    return (Condition("Ready", "False", reason, text), Condition("Stalled", "True", reason, text))


def _told(last: LastRun) -> str:
    return f"{last.message} ({last.name})" if last.message else last.name


RULES: tuple[Rule, ...] = (_suspended, _first_run, _expired, _passed, _violated, _will_retry, _gave_up)
