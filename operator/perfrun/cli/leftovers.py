"""What faults have left in a cluster, from what is stored in it: pure, so that nothing is looked at twice.

A fault that is not settled is on its run. What bears a run's name but is missing from any unsettled fault, or whose
run is gone, is a leftover: it is there although nobody waits for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from perfrun.api.chaos import Backend
from perfrun.api.faults import FINALIZER, FaultStatus
from perfrun.lifecycle.telling import scaling_line
from perfrun.lifecycle.values import Run
from perfrun.manifests import labels
from perfrun.manifests.external import ExternalBackend
from perfrun.manifests.names import label_value
from perfrun_kernels import contract

GONE: Final = "RunGone"
"""State of what is left of a run that is not there any more."""

UNREAD: Final = "RunUnread"
"""State of what is left of a run of which nothing could be read: it may well be there."""


@attrs.frozen
class Trace:
    """One object that tells of a fault.

    It is the pod of an agent, a cordoned node, or an object of another tool. ``where`` is how people name it, ``node``
    the node that it acts on (empty: not known); ``backend`` says which tool acts on it.
    """

    uid: str
    run: str
    fault: str
    where: str
    node: str
    kind: str
    backend: Backend
    stored: Mapping[str, Any]
    told: str
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@attrs.frozen
class Leftover:
    """One fault, or what is left without one; ``since`` and ``until`` are when it began and when it ends by itself.

    ``run`` is ``namespace/name`` or, where nothing tells these, the run's uid. ``remains`` says in sentences what is
    still to be done.
    """

    run: str
    uid: str
    fault: str
    kind: str
    backend: str
    nodes: tuple[str, ...]
    state: str
    since: dt.datetime | None
    until: dt.datetime | None
    remains: tuple[str, ...]
    traces: tuple[Trace, ...] = ()

    @property
    def orphan(self) -> bool:
        """Whether its run is gone, so that no operator will ever see to it."""
        return self.state == GONE

    @property
    def needs_agents(self) -> bool:
        """Whether only a fault agent can tell that a node is clean of it."""
        kinds = {self.kind, *(each.kind for each in self.traces)}
        return "native" in self.backend and bool(kinds & {"isolate", "freeze", "spike", "undo"})


def of_agent(pod: Mapping[str, Any]) -> Trace:
    """Return what the pod of a fault agent tells."""
    metadata, found = pod["metadata"], pod["metadata"].get("labels") or {}
    kind = found.get(labels.FAULT_KIND, "")
    phase = (pod.get("status") or {}).get("phase", "Unknown")
    ending = ", being deleted" if metadata.get("deletionTimestamp") else ""
    return Trace(
        uid=found.get(labels.RUN_UID, ""), run=_named(found), fault=found.get(labels.FAULT, ""),
        where=f"pod {metadata['namespace']}/{metadata['name']}", node=(pod.get("spec") or {}).get("nodeName", ""),
        kind=kind, backend="native", stored=pod, told=f"agent ({kind}) is {phase}{ending}",
        since=_created(metadata), until=_ends(pod),
    )  # fmt: skip


def of_node(node: Mapping[str, Any]) -> Trace | None:
    """Return what a node tells; None where no run cordoned it."""
    metadata = node["metadata"]
    uid = (metadata.get("annotations") or {}).get(labels.CORDONED_BY)
    if not uid:
        return None
    cordoned = bool((node.get("spec") or {}).get("unschedulable"))
    told = "cordoned" if cordoned else "marked as cordoned, though it is not"
    name = metadata["name"]
    return Trace(uid, "", "", f"node {name}", name, "drain", "native", node, told)


def of_external(backend: ExternalBackend, stored: Mapping[str, Any]) -> Trace:
    """Return what an object of another tool tells."""
    metadata, found = stored["metadata"], stored["metadata"].get("labels") or {}
    ending = "being deleted" if metadata.get("deletionTimestamp") else "still there"
    return Trace(
        uid=found.get(labels.RUN_UID, ""), run=_named(found), fault=found.get(labels.FAULT, ""),
        where=f"{stored['kind']} {metadata['namespace']}/{metadata['name']}", node="", kind="", backend=backend,
        stored=stored, told=ending, since=_created(metadata),
    )  # fmt: skip


def leftovers(
    runs: Iterable[Run], traces: Iterable[Trace], gone: Callable[[str], bool] = lambda _uid: True
) -> tuple[Leftover, ...]:
    """Return all that is not settled, with ``runs`` being those that hold our finalizer or are told of by a trace.

    ``gone`` says of any other run, by its uid, whether it is known not to be there.
    """
    left = list(traces)
    rows: list[Leftover] = []
    for run in sorted(runs, key=lambda each: (each.meta.namespace, each.meta.name)):
        mine = [each for each in left if each.uid == run.meta.uid]
        left = [each for each in left if each.uid != run.meta.uid]
        rows += _of_run(run, mine)
    groups: dict[tuple[str, str], list[Trace]] = {}
    for each in left:
        groups.setdefault((each.uid, each.fault), []).append(each)
    rows += [_orphan(groups[key], GONE if gone(key[0]) else UNREAD) for key in sorted(groups)]
    return tuple(rows)


def _of_run(run: Run, traces: list[Trace]) -> list[Leftover]:
    rows = []
    name, status = f"{run.meta.namespace}/{run.meta.name}", run.status
    for fault in (each for each in status.faults if not each.settled):
        mine = [each for each in traces if _belongs(each, fault)]
        traces = [each for each in traces if each not in mine]
        rows.append(_unsettled(name, run.meta.uid, fault, mine))
    remains = [_told(each) for each in traces]
    if status.scaling is not None and not status.scaling.restored:
        remains.append(scaling_line(status.scaling))
    if FINALIZER in run.meta.finalizers and not rows and not remains:
        remains.append(f"kept by its finalizer: {status.message or status.phase.value}")
    if remains:
        rest = _rest(name, run.meta.uid, status.phase.value, traces)
        rows.append(attrs.evolve(rest, since=status.started_at, remains=tuple(remains)))
    return rows


def _unsettled(run: str, uid: str, fault: FaultStatus, traces: list[Trace]) -> Leftover:
    begun = min((each.injected_at for each in fault.nodes if each.injected_at), default=fault.starts_at)
    unproven = [each.node for each in fault.nodes if each.clean_at is None]
    remains = [f"{', '.join(unproven)} not proven clean"] if unproven else ["proven clean, not closed yet"]
    return Leftover(
        run=run, uid=uid, fault=fault.id, kind=fault.kind, backend=fault.backend,
        nodes=tuple(each.node for each in fault.nodes), state=fault.state, since=begun, until=fault.ends_at,
        remains=(*remains, *map(_told, traces)), traces=tuple(traces),
    )  # fmt: skip


def _orphan(traces: list[Trace], state: str) -> Leftover:
    uid = traces[0].uid
    run = next((each.run for each in traces if each.run), uid or "unknown")
    return attrs.evolve(_rest(run, uid, state, traces), fault=traces[0].fault)


def _rest(run: str, uid: str, state: str, traces: list[Trace]) -> Leftover:
    return Leftover(
        run=run, uid=uid, fault="", kind=_listed(each.kind for each in traces),
        backend=_listed(each.backend for each in traces), nodes=tuple(sorted({each.node for each in traces} - {""})),
        state=state, since=min((each.since for each in traces if each.since), default=None),
        until=max((each.until for each in traces if each.until), default=None),
        remains=tuple(map(_told, traces)), traces=tuple(traces),
    )  # fmt: skip


def _belongs(trace: Trace, fault: FaultStatus) -> bool:
    if trace.fault:
        return trace.fault == label_value(fault.id)
    return fault.kind == trace.kind and trace.node in {each.node for each in fault.nodes}


def _told(trace: Trace) -> str:
    return f"{trace.where}: {trace.told}"


def _named(found: Mapping[str, str]) -> str:
    namespace, name = found.get(labels.RUN_NAMESPACE, ""), found.get(labels.RUN, "")
    return f"{namespace}/{name}" if name else ""


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted({each for each in words if each}))


def _created(metadata: Mapping[str, Any]) -> dt.datetime | None:
    made = metadata.get("creationTimestamp")
    return dt.datetime.fromisoformat(made) if made else None


def _ends(pod: Mapping[str, Any]) -> dt.datetime | None:
    """Return when the fault of an agent ends by itself, from the order that it was given; an undo agent has none."""
    variables = [each for container in pod["spec"]["containers"] for each in container.get("env") or ()]
    text = next((each.get("value", "") for each in variables if each["name"] == contract.FAULT_ENV), "")
    try:
        order = contract.FaultOrder.from_json(text)
    except contract.ContractError:
        return None
    return None if order.kind == "undo" else dt.datetime.fromtimestamp(order.ends_at, dt.UTC)
