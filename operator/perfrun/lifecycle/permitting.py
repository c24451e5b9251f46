"""What the platform team permits of faults, whatever the cluster is like: each a small rule, as all guards are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

from perfrun.api.chaos import Window
from perfrun.api.durations import seconds
from perfrun.api.feature import Schedule
from perfrun.lifecycle.asked import GuardInput, Harm, Refusal, counted, few
from perfrun.manifests import external
from perfrun.planning.schedule import due_now, next_start

ROUNDING: Final = 1e-9

_VICTIM: Final[Mapping[Harm, str]] = {"nodes": "node is made to fail", "containers": "container is held up"}
_SHORTER: Final[Mapping[Harm, str]] = {
    "nodes": "raise load.rate, so that the same number of requests takes less time",
    "containers": "have fewer spikes made (spikes.inject, spikes.rounds)",
}


def not_allowed(ask: GuardInput) -> Refusal | None:
    """Refuse where the target allows no chaos."""
    if ask.chaos.allowed:
        return None
    return Refusal(
        "ChaosNotAllowed",
        f"chaos.allowed of the PerfTarget is false; expected true before any {_VICTIM[ask.harm]}; have the platform "
        "team allow it there",
    )


def denied(ask: GuardInput) -> Refusal | None:
    """Refuse where the operator lacks a right."""
    return Refusal("MissingRights", ask.denied) if ask.denied else None


def unsupported(ask: GuardInput) -> Refusal | None:
    """Refuse what the backend cannot do."""
    chaos = ask.chaos
    if chaos.backend == "native":
        return None
    text = external.supported(chaos.backend, chaos.kind)
    if not text and chaos.backend == "litmus" and not chaos.service_account_name:
        text = (
            "chaos.serviceAccountName: Litmus runs its experiments as a service account, and none is named; name one "
            f"that may run those for {chaos.kind} in the Service's namespace"
        )
    return Refusal("UnsupportedFault", text) if text else None


def unknown_node(ask: GuardInput) -> Refusal | None:
    """Refuse where nodes are named that are not there."""
    unknown = sorted(set(ask.chaos.nodes) - set(ask.nodes))
    if not unknown:
        return None
    return Refusal(
        "UnknownNode",
        f"chaos.nodes names {', '.join(unknown)}, which the cluster does not have; expected names among "
        f"{few(sorted(ask.nodes))}; correct the names",
    )


def over_number(ask: GuardInput) -> Refusal | None:
    """Refuse more nodes than may fail at once."""
    if ask.count <= ask.chaos.max_nodes:
        return None
    return Refusal(
        "ExceedsMaxNodes",
        f"chaos.maxNodes of the PerfTarget is {ask.chaos.max_nodes}, and {counted(ask.count)} are to fail; expected at "
        f"most {ask.chaos.max_nodes}; have more allowed there, or let fewer fail",
    )


def over_share(ask: GuardInput) -> Refusal | None:
    """Refuse a larger share of the serving nodes than may fail at once."""
    share, most = ask.count / len(ask.behind), ask.chaos.max_share
    if share <= most + ROUNDING:
        return None
    return Refusal(
        "ExceedsMaxShare",
        f"chaos.maxShare of the PerfTarget is {100 * most:g} %, and {ask.count} of the {len(ask.behind)} nodes that "
        f"serve are to fail, which is {100 * share:.3g} %; have a larger share allowed there, let fewer fail, or add "
        "nodes",
    )


def too_long(ask: GuardInput) -> Refusal | None:
    """Refuse what lasts longer than a fault may."""
    if ask.lasts <= seconds(ask.chaos.max_duration) + ROUNDING:
        return None
    return Refusal(
        "TooLong",
        f"chaos.maxDuration of the PerfTarget is {ask.chaos.max_duration}, and the fault is to last {ask.lasts:g} s; "
        f"have a longer one allowed there, or {_SHORTER[ask.harm]}",
    )


def outside_window(ask: GuardInput) -> Refusal | None:
    """Refuse where no window is open for the whole fault."""
    windows = ask.chaos.windows
    if not windows:
        return None
    try:
        if any(_open(each, ask.starts_at, ask.ends_at) for each in windows):
            return None
        opening = min(next_start(_schedule(each), ask.starts_at, "").scheduled for each in windows)
    except ValueError as error:
        return Refusal("BadWindow", f"chaos.windows of the PerfTarget: {error}; correct it there")
    return Refusal(
        "OutsideWindow",
        f"chaos.windows of the PerfTarget: none is open from {_clock(ask.starts_at)} to {_clock(ask.ends_at)} UTC, "
        f"while the fault is to last; the next opens at {opening:%Y-%m-%d %H:%M} UTC; let the feature run then, or "
        "have another window opened",
    )


def _open(window: Window, starts_at: dt.datetime, ends_at: dt.datetime) -> bool:
    """Whether the window is open all the time; of its openings, the latest is open the longest."""
    length = dt.timedelta(seconds=seconds(window.length))
    opened = due_now(_schedule(window), starts_at - length, starts_at, "")
    return opened is not None and opened.scheduled + length >= ends_at


def _schedule(window: Window) -> Schedule:
    return Schedule(cron=window.cron, time_zone=window.time_zone)


def _clock(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%H:%M:%S")
