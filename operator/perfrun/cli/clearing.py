"""Removing what is left of runs that are gone: no operator sees to it, for nothing tells it that there was a fault.

Agents are told to stop, and undo what they do as they end; other tools are told to stop; nodes are let go. A node that
an agent was on is only called clean once another agent has looked at it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from perfrun.adapters.api import Api, Refused
from perfrun.adapters.paths import node_path, or_none, pods_path
from perfrun.adapters.views import agent_view
from perfrun.api.run import RunSpec, RunStatus
from perfrun.cli.leftovers import Leftover, Trace
from perfrun.cli.looking import Look
from perfrun.lifecycle.values import Meta, Run, StartAgent, Uncordon
from perfrun.manifests import external
from perfrun.manifests.names import agent_name
from perfrun.ports import Clock, Cluster, Conflict, Unavailable

EVERY: Final = 0.5

_STOPPING: Final = (
    "told to stop, and undoes its fault as it ends; on a node that is cut off it hears of that when the fault is over"
)


@attrs.frozen
class Spot:
    """A fault of a run on a node, where something may still be."""

    uid: str
    run: str
    fault: str
    node: str


@attrs.define
class Clearing:
    """Clears leftovers step by step, and remembers which nodes are yet to be proven clean.

    ``proofs`` says whether agents can be started at all: without an image for them nodes stay unproven.
    """

    api: Api
    cluster: Cluster
    clock: Clock
    tell: Callable[[str], None]
    proofs: bool
    met: set[Spot] = attrs.field(factory=set)
    proven: set[Spot] = attrs.field(factory=set)
    tries: dict[Spot, int] = attrs.field(factory=dict)
    said: set[str] = attrs.field(factory=set)

    async def clear(
        self, see: Callable[[], Awaitable[Look]], mine: Callable[[Leftover], bool], until: dt.datetime
    ) -> bool:
        """Clear what is left of runs that are gone, of those that are ``mine``; return whether that was in time."""
        while True:
            try:
                rows = [row for row in (await see()).rows if row.orphan and mine(row)]
                if not rows and (self.proven >= self.met or not self.proofs):
                    return self.proven >= self.met
                await self.step(rows)
            except (Unavailable, Refused, Conflict) as error:
                self._once(str(error))
            if self.clock.now() >= until:
                return False
            await asyncio.sleep(EVERY)

    async def step(self, rows: list[Leftover]) -> None:
        """Do once what can be done now about every leftover."""
        traces = [trace for row in rows for trace in row.traces]
        for row in rows:
            for trace in row.traces:
                if trace.backend == "native" and trace.kind == "drain":
                    self._once(f"{trace.where}: made schedulable again")
                    await self.cluster.change(_run(row.run, row.uid), Uncordon(trace.node))
        agents = [each for each in traces if each.backend == "native" and each.kind != "drain"]
        for spot in {_spot(each) for each in agents}:
            await self._spot(spot, [each for each in agents if _spot(each) == spot])
        for spot in self.met - self.proven - {_spot(each) for each in agents} if self.proofs else ():
            if await or_none(self.api.get(node_path(spot.node))) is None:
                self._once(f"node {spot.node} is gone, and with it whatever was on it")
                self.proven.add(spot)
                continue
            name, now = agent_name(spot.uid, spot.fault, spot.node, "undo", self.tries.get(spot, 0)), self.clock.now()
            self._once(f"node {spot.node}: agent {name} looks whether anything is left")
            await self.cluster.change(
                _run(spot.run, spot.uid), StartAgent(name, spot.fault, spot.node, "undo", now, now)
            )
        for tool in ("chaos-mesh", "litmus"):
            await self._stop(tool, [each for each in traces if each.backend == tool])

    async def _spot(self, spot: Spot, agents: list[Trace]) -> None:
        """See to the agents of one fault on one node."""
        self.met.add(spot)
        views = [(each, agent_view(each.stored, {})) for each in agents]
        breaking = any(not view.undo for _, view in views)
        for trace, view in views:
            report = view.report
            if view.pod.deleting or (view.undo and breaking):
                continue
            ended = view.pod.phase in ("Succeeded", "Failed")
            if not view.undo:
                self._once(f"{trace.where}: {'removed' if ended else _STOPPING}")
            elif report is not None and report.state == "Clean":
                self._once(f"node {spot.node} is proven clean: {report.proof}")
                self.proven.add(spot)
            elif ended:
                why = report.message if report is not None else view.pod.message or view.pod.reason
                self._once(f"{trace.where}: {why or 'ended without a report'}; another one will look")
                self.tries[spot] = self.tries.get(spot, 0) + 1
            else:
                continue
            metadata = trace.stored["metadata"]
            await or_none(self.api.delete(pods_path(metadata["namespace"], metadata["name"]), metadata["uid"]))

    async def _stop(self, tool: external.ExternalBackend, traces: list[Trace]) -> None:
        """Ask another tool to end what is stored of it, as far as it can be asked now."""
        stored = [each.stored for each in traces]
        if not stored:
            return
        beside = [await or_none(self.api.get(where)) for where in external.reports(tool, stored)]
        for step in external.stop(tool, [*stored, *(each for each in beside if each is not None)]):
            self._once(f"{tool}: {'stopping' if step.patch is not None else 'removing'} {step.path}")
            await or_none(self.api.delete(step.path) if step.patch is None else self.api.merge(step.path, step.patch))

    def _once(self, text: str) -> None:
        if text not in self.said:
            self.said.add(text)
            self.tell(text)


def _spot(trace: Trace) -> Spot:
    return Spot(trace.uid, trace.run or trace.uid, trace.fault, trace.node)


def _run(name: str, uid: str) -> Run:
    """Return as much of a run that is gone as its objects tell."""
    namespace, _, plain = name.rpartition("/")
    return Run(Meta(plain, namespace or "default", uid), RunSpec(target_ref="gone"), RunStatus())
