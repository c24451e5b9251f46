"""What keeps a fault from being injected, each as a small rule: (what is asked) → refusal or nothing.

The rules are asked in order and the first that answers decides: first what the platform team permits, then what the
scenario asks for, then how the cluster is at this moment. Every sentence says which setting or state it is about, what
was found, what was expected, and what to do. Which rules there are depends on what comes to harm: where no node fails,
none speaks of how many may, and what only looks needs no permission to break anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from perfrun.lifecycle.asked import Guard, GuardInput, Harm, Refusal, counted, few
from perfrun.lifecycle.choosing import Around, Candidates, candidates, matches
from perfrun.lifecycle.permitting import (
    denied,
    not_allowed,
    outside_window,
    over_number,
    over_share,
    too_long,
    unknown_node,
    unsupported,
)
from perfrun.lifecycle.values import Missing


def refusal(ask: GuardInput) -> Refusal | None:
    """Return why the fault may not be injected, or None where it may."""
    return next((found for rule in RULES[ask.harm] if (found := rule(ask)) is not None), None)


def changed(ask: GuardInput, chosen: Iterable[str]) -> Refusal | None:
    """Return why a fault on the nodes that were ``chosen`` may not be any more, as the cluster is now."""
    if ask.harm == "nothing":
        return None
    return unhealthy(ask) or (nobody_left(ask, chosen) if ask.harm == "nodes" else None)


def unhealthy(ask: GuardInput) -> Refusal | None:
    """Refuse where the cluster is already short of nodes: a fault on top would be another than the one asked for."""
    if unready := sorted(name for name, node in ask.nodes.items() if not node.ready):
        return Refusal(
            "ClusterUnhealthy",
            f"the cluster is not healthy: {_listed(unready)} not ready; expected every node to be Ready before a fault "
            "is injected; mend it first",
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
        f"all endpoints of Service {ask.service} are on nodes that are to fail ({few(sorted(failing)) or 'none'}), a "
        "share of 100 %; expected some on others; add nodes that serve, or spread the pods",
    )


def another_fault(ask: GuardInput) -> Refusal | None:
    """Refuse while another run's fault is not proven undone: only one at a time breaks anything in a cluster."""
    if not ask.foreign_faults:
        return None
    return Refusal(
        "AnotherFault",
        f"run {few(ask.foreign_faults)} has a fault that is not proven undone; expected no other in the whole "
        "cluster; wait for it, or see what it waits for with perfrun chaos list",
    )


def possible(ask: GuardInput) -> Candidates:
    """Return which nodes may fail, by all rules on nodes; what they carry only matters where they do."""
    known = [name for name in ask.behind if name in ask.nodes]
    if ask.harm == "nothing":
        return Candidates(tuple(name for name in known if ask.nodes[name].ready), {})
    if ask.harm == "containers":
        return candidates(known, Around(ask.chaos, ask.nodes, {}))
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
        f"Service {ask.service} has ready endpoints on {counted(len(ready))}; the scenario expects {ask.wanted}; add "
        "nodes, spread the pods over them, or let the run scale them (service.workload)",
    )


def _too_many(ask: GuardInput) -> Refusal | None:
    if ask.count <= len(ask.behind):
        return None
    return Refusal(
        "TooManyFailures",
        f"{counted(ask.count)} are to fail, but Service {ask.service} is on {len(ask.behind)}; expected fewer failures "
        "than nodes; correct the scenario",
    )


def _no_endpoints_left(ask: GuardInput) -> Refusal | None:
    return nobody_left(ask, ask.behind) if ask.count >= len(ask.behind) else None


def _no_candidates(ask: GuardInput) -> Refusal | None:
    found = possible(ask)
    if len(found.names) >= ask.count:
        return None
    taken = ", ".join(f"{len(names)} {rule}" for rule, names in found.left_out.items())
    what = "fail" if ask.harm == "nodes" else "have containers held up"
    return Refusal(
        "NoCandidates",
        f"chaos: of the {counted(len(ask.behind))} behind Service {ask.service}, {len(found.names)} may {what}, and "
        f"{ask.count} must; not counted are {taken or 'none'}; loosen a rule, or add nodes",
    )


def _nobody_ready(ask: GuardInput) -> Refusal | None:
    if possible(ask).names:
        return None
    return Refusal(
        "ClusterUnhealthy",
        f"the cluster is not healthy: {_listed(ask.behind)} not ready; expected one to be, of those behind Service "
        f"{ask.service}; mend it first",
    )


def _listed(names: Iterable[str]) -> str:
    every = tuple(names)
    return f"{'node' if len(every) == 1 else 'nodes'} {few(every)} {'is' if len(every) == 1 else 'are'}"


RULES: Final[Mapping[Harm, tuple[Guard, ...]]] = {
    "nodes": (
        not_allowed, denied, unsupported, unknown_node, over_number, too_long, outside_window, _no_endpoints,
        unhealthy, _not_enough_nodes, _too_many, _no_endpoints_left, over_share, another_fault, _no_candidates,
    ),
    "containers": (
        not_allowed, denied, unknown_node, too_long, outside_window, _no_endpoints, unhealthy, another_fault,
        _no_candidates,
    ),
    "nothing": (denied, _no_endpoints, _nobody_ready, another_fault),
}  # fmt: skip
