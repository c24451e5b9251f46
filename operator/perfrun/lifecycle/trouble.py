"""What can go wrong with a benchmark pod, each as a small rule: (pod, stage, since, now) → trouble or nothing.

The rules are asked in order and the first that answers decides. A pod lost through no fault of its own may be
tried again; what would happen again the same way is not. Neither is ever a Fail: a benchmark that could not be
run says nothing about the system under test.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from perfrun.api.plan import Stage
from perfrun.lifecycle.values import PodView


@attrs.frozen
class Trouble:
    """Why an attempt is given up.

    ``again`` says that another attempt may fare better, ``broken`` that the run itself failed.
    """

    reason: str
    message: str
    again: bool = False
    broken: bool = False


Rule = Callable[[PodView, Stage, dt.datetime, dt.datetime], Trouble | None]

_HOPELESS = frozenset({"Refused", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})
_EVICTIONS = frozenset({"Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"})
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


def trouble(pod: PodView, stage: Stage, since: dt.datetime, now: dt.datetime) -> Trouble | None:
    """Return what is wrong with the pod of a stage that entered its state at ``since``, or None."""
    return next((found for rule in RULES if (found := rule(pod, stage, since, now)) is not None), None)


def _out_of_memory(pod: PodView, _stage: Stage, _since: dt.datetime, _now: dt.datetime) -> Trouble | None:
    if pod.phase == "Failed" and pod.reason == "OOMKilled":
        text = f"pod {pod.name} was killed for want of memory; raise the memory limit in the target's pods.resources"
        return Trouble("OOMKilled", text)
    return None


def _past_deadline(pod: PodView, stage: Stage, _since: dt.datetime, _now: dt.datetime) -> Trouble | None:
    if pod.phase == "Failed" and pod.reason == "DeadlineExceeded":
        return Trouble("PodTimedOut", f"pod {pod.name} did not end within its {stage.timeout:.0f} s and was stopped")
    return None


def _evicted(pod: PodView, _stage: Stage, _since: dt.datetime, _now: dt.datetime) -> Trouble | None:
    if pod.phase == "Failed" and pod.reason in _EVICTIONS:
        return Trouble(
            "PodEvicted", f"pod {pod.name} was evicted ({pod.reason}): {pod.message or 'no message'}", again=True
        )
    return None


def _lost(pod: PodView, _stage: Stage, _since: dt.datetime, _now: dt.datetime) -> Trouble | None:
    if pod.phase == "Unknown" or pod.deleting:
        where = f" on node {pod.node}" if pod.node else ""
        return Trouble(
            "PodLost", f"pod {pod.name}{where} was lost: it is being removed or its node does not answer", again=True
        )
    return None


def _crashed(pod: PodView, _stage: Stage, _since: dt.datetime, _now: dt.datetime) -> Trouble | None:
    if pod.phase == "Failed":
        code = "" if pod.exit_code is None else f" with exit code {pod.exit_code}"
        said = f"; it said: {pod.message.strip()[-300:]}" if pod.message.strip() else " and said nothing"
        return Trouble("PodFailed", f"pod {pod.name} failed{code}{said}", broken=True)
    return None


def _silent(pod: PodView, _stage: Stage, _since: dt.datetime, _now: dt.datetime) -> Trouble | None:
    if pod.phase == "Succeeded":
        said = f"; it said: {pod.message.strip()[-300:]}" if pod.message.strip() else ""
        text = f"pod {pod.name} ended well but handed in no result{said}; is its image a benchmark image of perfrun?"
        return Trouble("NoResult", text, broken=True)
    return None


def _never_started(pod: PodView, stage: Stage, since: dt.datetime, now: dt.datetime) -> Trouble | None:
    if pod.phase != "Pending":
        return None
    waited = (now - since).total_seconds()
    if pod.waiting not in _HOPELESS and waited < stage.start_timeout:
        return None
    what = pod.message.strip() or pod.waiting or "its container was not begun; the pod's events may tell more"
    if pod.waiting == "Refused":
        text = f"pod {pod.name} could not be created: {what}; correct the target's pods or the namespace's policy"
        return Trouble("PodRefused", text)
    if pod.waiting in _IMAGE:
        return Trouble(
            "ImagePullFailed", f"the image of pod {pod.name} cannot be pulled: {what}; correct the target's pods.image"
        )
    if pod.waiting == "Unschedulable":
        text = f"no node takes pod {pod.name} after {waited:.0f} s: {what}; change the target's pods or add a node"
        return Trouble("Unschedulable", text, again=True)
    return Trouble(
        "PodNotStarted",
        f"pod {pod.name} did not start within {waited:.0f} s: {what}",
        again=pod.waiting not in _HOPELESS,
    )


def _hanging(pod: PodView, stage: Stage, since: dt.datetime, now: dt.datetime) -> Trouble | None:
    if pod.phase == "Running" and (now - (pod.started or since)).total_seconds() > stage.timeout + GRACE:
        return Trouble("PodTimedOut", f"pod {pod.name} still runs after {stage.timeout:.0f} s and is stopped")
    return None


GRACE = 5.0
"""Seconds that the kubelet is given to enforce a pod's own deadline before the operator does."""

RULES: tuple[Rule, ...] = (
    _out_of_memory, _past_deadline, _evicted, _lost, _crashed, _silent, _never_started, _hanging,
)  # fmt: skip
