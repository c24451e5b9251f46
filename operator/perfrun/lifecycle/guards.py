"""What keeps a fault from being injected, each as a small rule: (what is asked) → refusal or nothing.

The rules are asked in order and the first that answers decides: first what the platform team permits, then what the
scenario asks for, then how the cluster is at this moment. Every sentence says which setting or state it is about, what
was found, what was expected, and what to do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping

import attrs

from perfrun.api.chaos import Chaos, Window
from perfrun.api.durations import seconds
from perfrun.api.feature import Schedule
from perfrun.lifecycle.choosing import Around, Candidates, candidates, matches
from perfrun.lifecycle.values import Missing, NodeView
from perfrun.manifests import external
from perfrun.planning.schedule import due_now, next_start


@attrs.frozen
class Refusal:
    """Why a fault may not be: a CamelCase reason and a sentence."""

    reason: str
    message: str


@attrs.frozen
class GuardInput:
    """A fault that is asked for, what the target says of faults, and what is seen of the cluster.

    ``count`` nodes are to fail of ``wanted`` that serve (0: any number) from ``starts_at`` to ``ends_at``.
    ``generators`` are the labels of nodes that generators may run on. The rest is as in RunObservation.
    """

    chaos: Chaos
    service: str
    count: int
    wanted: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    nodes: Mapping[str, NodeView]
    serving: Mapping[str, tuple[str, ...]] | Missing
    protected: Mapping[str, str] = attrs.field(factory=dict)
    generators: Mapping[str, str] = attrs.field(factory=dict)
    foreign_faults: tuple[str, ...] = ()
    denied: str = ""

    @property
    def behind(self) -> tuple[str, ...]:
        """The nodes that ready endpoints of the Service are on, by name."""
        return () if isinstance(self.serving, Missing) else tuple(sorted(self.serving))

    @property
    def lasts(self) -> float:
        """How long the fault lasts, in seconds."""
        return (self.ends_at - self.starts_at).total_seconds()


Guard = Callable[[GuardInput], Refusal | None]


def refusal(ask: GuardInput) -> Refusal | None:
    """Return why the fault may not be injected, or None where it may."""
    return next((found for rule in RULES if (found := rule(ask)) is not None), None)


def unhealthy(ask: GuardInput) -> Refusal | None:
    """Refuse where the cluster is already short of nodes: a fault on top would be another than the one asked for."""
    if unready := sorted(name for name, node in ask.nodes.items() if not node.ready):
        return Refusal(
            "ClusterUnhealthy",
            f"the cluster is not healthy: {_listed(unready)} not ready; expected every node to be Ready before one is "
            "made to fail; mend it first",
        )
    if cordoned := sorted(name for name, node in ask.nodes.items() if node.cordoned and _matters(ask, name)):
        return Refusal(
            "ClusterUnhealthy",
            f"the cluster is not healthy: {_listed(cordoned)} cordoned; expected every node that may carry Service "
            f"{ask.service} to take pods; uncordon it first",
        )
    return None


def nobody_left(ask: GuardInput, failing: Iterable[str]) -> Refusal | None:
    """Refuse where all endpoints are on the nodes that were chosen, which they may have come to be since."""
    if set(ask.behind) - set(failing):
        return None
    return Refusal(
        "NoEndpointsLeft",
        f"all endpoints of Service {ask.service} are on nodes that are to fail ({_few(sorted(failing)) or 'none'}), a "
        "share of 100 %; expected some on others; add nodes that serve, or spread the pods",
    )


def another_fault(ask: GuardInput) -> Refusal | None:
    """Refuse while another run's fault is not proven undone: only one at a time breaks anything in a cluster."""
    if not ask.foreign_faults:
        return None
    return Refusal(
        "AnotherFault",
        f"run {_few(ask.foreign_faults)} has a fault that is not proven undone; expected no other in the whole "
        "cluster; wait for it, or see what it waits for with perfrun chaos list",
    )


def possible(ask: GuardInput) -> Candidates:
    """Return which nodes may fail, by all rules on nodes."""
    known = [name for name in ask.behind if name in ask.nodes]
    return candidates(known, Around(ask.chaos, ask.nodes, ask.protected, _last_for_generators(ask)))


def _last_for_generators(ask: GuardInput) -> frozenset[str]:
    fit = [
        name for name, node in ask.nodes.items()
        if node.ready and not node.cordoned and matches(node.labels, ask.generators)
    ]  # fmt: skip
    return frozenset(fit) if len(fit) <= ask.count else frozenset()


def _matters(ask: GuardInput, name: str) -> bool:
    selector = ask.chaos.node_selector
    selected = bool(selector) and matches(ask.nodes[name].labels, selector)
    return name in ask.behind or name in ask.chaos.nodes or selected


def _not_allowed(ask: GuardInput) -> Refusal | None:
    if ask.chaos.allowed:
        return None
    return Refusal(
        "ChaosNotAllowed",
        "chaos.allowed of the PerfTarget is false; expected true before any node is made to fail; have the platform "
        "team allow it there",
    )


def _denied(ask: GuardInput) -> Refusal | None:
    return Refusal("MissingRights", ask.denied) if ask.denied else None


def _unsupported(ask: GuardInput) -> Refusal | None:
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


def _unknown_node(ask: GuardInput) -> Refusal | None:
    unknown = sorted(set(ask.chaos.nodes) - set(ask.nodes))
    if not unknown:
        return None
    return Refusal(
        "UnknownNode",
        f"chaos.nodes names {', '.join(unknown)}, which the cluster does not have; expected names among "
        f"{_few(sorted(ask.nodes))}; correct the names",
    )


def _no_endpoints(ask: GuardInput) -> Refusal | None:
    if isinstance(ask.serving, Missing):
        return Refusal(ask.serving.reason, ask.serving.message)
    if not ask.serving:
        return Refusal(
            "NoEndpoints",
            f"service.name: Service {ask.service} has no ready endpoint; expected some before one fails; start what it "
            "serves, or correct the name",
        )
    return None


def _not_enough_nodes(ask: GuardInput) -> Refusal | None:
    ready = [name for name in ask.behind if name in ask.nodes and ask.nodes[name].ready]
    if len(ready) >= ask.wanted:
        return None
    return Refusal(
        "NotEnoughNodes",
        f"Service {ask.service} has ready endpoints on {_nodes(len(ready))}; the scenario expects {ask.wanted}; add "
        "nodes, spread the pods over them, or let the run scale them (service.workload)",
    )


def _too_many(ask: GuardInput) -> Refusal | None:
    if ask.count <= len(ask.behind):
        return None
    return Refusal(
        "TooManyFailures",
        f"{_nodes(ask.count)} are to fail, but Service {ask.service} is on {len(ask.behind)}; expected fewer failures "
        "than nodes; correct the scenario",
    )


def _no_endpoints_left(ask: GuardInput) -> Refusal | None:
    return nobody_left(ask, ask.behind) if ask.count >= len(ask.behind) else None


def _over_number(ask: GuardInput) -> Refusal | None:
    if ask.count <= ask.chaos.max_nodes:
        return None
    return Refusal(
        "ExceedsMaxNodes",
        f"chaos.maxNodes of the PerfTarget is {ask.chaos.max_nodes}, and {_nodes(ask.count)} are to fail; expected at "
        f"most {ask.chaos.max_nodes}; have more allowed there, or let fewer fail",
    )


def _over_share(ask: GuardInput) -> Refusal | None:
    share, most = ask.count / len(ask.behind), ask.chaos.max_share
    if share <= most + _ROUNDING:
        return None
    return Refusal(
        "ExceedsMaxShare",
        f"chaos.maxShare of the PerfTarget is {100 * most:g} %, and {ask.count} of the {len(ask.behind)} nodes that "
        f"serve are to fail, which is {100 * share:.3g} %; have a larger share allowed there, let fewer fail, or add "
        "nodes",
    )


def _too_long(ask: GuardInput) -> Refusal | None:
    if ask.lasts <= seconds(ask.chaos.max_duration) + _ROUNDING:
        return None
    return Refusal(
        "TooLong",
        f"chaos.maxDuration of the PerfTarget is {ask.chaos.max_duration}, and the fault is to last {ask.lasts:g} s; "
        "have a longer one allowed there, or raise load.rate, so that the same number of requests takes less time",
    )


def _outside_window(ask: GuardInput) -> Refusal | None:
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


def _no_candidates(ask: GuardInput) -> Refusal | None:
    found = possible(ask)
    if len(found.names) >= ask.count:
        return None
    taken = ", ".join(f"{len(names)} {rule}" for rule, names in found.left_out.items())
    return Refusal(
        "NoCandidates",
        f"chaos: of the {_nodes(len(ask.behind))} behind Service {ask.service}, {len(found.names)} may fail, and "
        f"{ask.count} must; not counted are {taken or 'none'}; loosen a rule, or add nodes",
    )


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def _listed(names: Iterable[str]) -> str:
    every = tuple(names)
    return f"{'node' if len(every) == 1 else 'nodes'} {_few(every)} {'is' if len(every) == 1 else 'are'}"


def _few(names: Iterable[str]) -> str:
    every = tuple(names)
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + more


def _clock(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%H:%M:%S")


_MOST = 5
_ROUNDING = 1e-9

RULES: tuple[Guard, ...] = (
    _not_allowed, _denied, _unsupported, _unknown_node, _over_number, _too_long, _outside_window, _no_endpoints,
    unhealthy, _not_enough_nodes, _too_many, _no_endpoints_left, _over_share, another_fault, _no_candidates,
)  # fmt: skip
