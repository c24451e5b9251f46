"""The whole way from what faults have left in a cluster to nothing left, proven.

Runs are cancelled and seen to their end by the operator if one is at work, else from here; then goes what has no run.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import attrs

from perfrun.adapters.api import Api, NotFound, Refused
from perfrun.adapters.clock import SystemClock
from perfrun.adapters.drive import World
from perfrun.adapters.events import Recorder
from perfrun.adapters.kubernetes import KubernetesCluster
from perfrun.api.run import Phase
from perfrun.cli.access import Access, path
from perfrun.cli.clearing import Clearing
from perfrun.cli.leftovers import Leftover
from perfrun.cli.looking import look
from perfrun.cli.nowhere import NoArtifacts, NoMetrics
from perfrun.cli.operators import Operator, at_work, find, told
from perfrun.cli.stop import TIMED_OUT, USAGE_ERROR, Stop
from perfrun.cli.undoing import driven, finish, watched
from perfrun.controller import settings as operator_settings
from perfrun.lifecycle.values import Key
from perfrun.manifests.agents import AgentSettings
from perfrun.ports import Clock, Conflict, Unavailable

_AGAIN: Final = 1.0
"""Seconds until an API server that did not answer is asked again."""

_STOPPABLE: Final = (Phase.PENDING.value, Phase.RUNNING.value)

Tell = Callable[[str], None]
T = TypeVar("T")


@attrs.frozen
class Wanted:
    """What is to be undone: everything (of a namespace, where one is named), or what goes by these names or uids."""

    names: frozenset[str] = frozenset()
    namespace: str = ""

    def meets(self, row: Leftover) -> bool:
        """Whether it is this one; what tells no namespace belongs to all of them."""
        if self.names:
            return bool({row.run, row.uid} & self.names)
        return not self.namespace or "/" not in row.run or row.run.startswith(f"{self.namespace}/")


@attrs.frozen
class Agents:
    """What is told on the command line of fault agents; empty parts are found out."""

    namespace: str = ""
    image: str = ""
    command: str = ""
    runtime_class: str = ""


async def undo_all(access: Access, wanted: Wanted, patience: float, force: bool, flags: Agents, tell: Tell) -> int:
    """Undo what is wanted, telling every step; return the exit code.

    Raises:
        Unavailable: the API server did not answer for all that time.
    """
    api, clock = access.api, SystemClock()
    until = clock.now() + dt.timedelta(seconds=patience)
    first = await _patiently(lambda: look(api), clock, until, tell)
    rows = [row for row in first.rows if wanted.meets(row)]
    await _refuse_unknown(access, wanted, rows)
    for row in rows:
        tell(f"found {row.run}{' ' + row.fault if row.fault else ''} ({row.state}): {'; '.join(row.remains)}")
    if not rows:
        tell("nothing is left to undo")
        return _ending(first.unseen, tell)
    found = await _patiently(lambda: find(api), clock, until, tell)
    alive = () if force else await _patiently(lambda: at_work(api, found, tell), clock, until, tell)
    agents = agent_settings(found, rows, flags)
    if not agents.image and any(row.needs_agents for row in rows):
        tell("nothing tells the image of fault agents, so no node can be proven clean: give --agent-image")
    async with _world(api, clock, agents, tell) as world:
        work = [_run(api, world, alive, key, until, tell) for key in keys(rows)]
        clearing = Clearing(api, world.cluster, clock, tell, proofs=bool(agents.image))
        proven = await asyncio.gather(*work, clearing.clear(lambda: look(api), wanted.meets, until))
    last = await _patiently(lambda: look(api), clock, until, tell)
    for row in (left := [row for row in last.rows if wanted.meets(row)]):
        tell(f"still there: {row.run}{' ' + row.fault if row.fault else ''} ({row.state}): {'; '.join(row.remains)}")
    if left or not all(proven):
        tell(f"not everything is proven undone after {patience:.0f} s")
        return TIMED_OUT
    tell("everything is proven undone")
    return _ending(last.unseen, tell)


async def _run(api: Api, world: World, alive: Sequence[Operator], key: Key, until: dt.datetime, tell: Tell) -> bool:
    name = f"{key.namespace}/{key.name}"
    await _cancel(api, key, tell)
    served = next((each for each in alive if each.serves(key.namespace)), None)
    if served is not None:
        tell(f"{name}: left to the operator of lease {served.lease}, which is at work (--force does it here)")
    else:
        tell(f"{name}: no operator is at work, so it is undone from here")
    turn = watched if served is not None else driven(key, world)
    return await finish(key, world.cluster, turn, world.clock, until, tell)


async def _cancel(api: Api, key: Key, tell: Tell) -> None:
    """Stop a run that still goes on; one that is being restored must not be touched, for its verdict stands."""
    where = path("PerfRun", key.namespace, key.name)
    try:
        stored = await api.get(where)
        phase = (stored.get("status") or {}).get("phase", Phase.PENDING.value)
        if phase in _STOPPABLE and not stored["spec"].get("cancel"):
            await api.merge(where, {"spec": {"cancel": True}})
            tell(f"{key.namespace}/{key.name}: cancelled")
    except NotFound:
        return
    except (Conflict, Refused, Unavailable) as error:
        tell(f"{key.namespace}/{key.name}: could not be cancelled: {error}")


def keys(rows: Sequence[Leftover]) -> list[Key]:
    """Return the runs that are there, or may be, each once."""
    names = dict.fromkeys(row.run for row in rows if not row.orphan and "/" in row.run)
    return [Key("PerfRun", *name.split("/", 1)) for name in names]


def agent_settings(found: Sequence[Operator], rows: Sequence[Leftover], flags: Agents) -> AgentSettings:
    """Return how fault agents are made: as told here, else as an operator was told, else as one that is there."""
    base = next((told(each) for each in found if each.environment), None)
    if base is None or not base.image:
        pods = [trace.stored for row in rows for trace in row.traces if trace.where.startswith("pod ")]
        base = next((_like(pod) for pod in pods), base or AgentSettings())
    return attrs.evolve(
        base, namespace=flags.namespace or base.namespace, image=flags.image or base.image,
        command=tuple(shlex.split(flags.command)) or base.command,
        runtime_class=flags.runtime_class or base.runtime_class,
    )  # fmt: skip


def _like(pod: Any) -> AgentSettings:
    container = pod["spec"]["containers"][0]
    return AgentSettings(
        namespace=pod["metadata"]["namespace"], image=container.get("image", ""),
        command=tuple(container.get("command") or ()), runtime_class=pod["spec"].get("runtimeClassName", ""),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def _world(api: Api, clock: SystemClock, agents: AgentSettings, tell: Tell) -> AsyncIterator[World]:
    """Make all that driving a run needs, without a place for evidence."""
    events = Recorder(api, clock, "perfrun-chaos-undo")
    telling = asyncio.create_task(events.run())
    pods = operator_settings.Settings(results_url="http://nowhere.invalid").pods()
    handler = _Warnings(tell)
    logger = logging.getLogger("perfrun")
    logger.addHandler(handler)
    try:
        yield World(KubernetesCluster(api, pods, clock, events, agents=agents), NoMetrics(), NoArtifacts(), clock)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(events.flush(), 2)
    finally:
        logger.removeHandler(handler)
        telling.cancel()


class _Warnings(logging.Handler):
    """Tells what the operator would have logged, each thing once and without traces of the program."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record."""
        text = record.getMessage()
        if text not in self._said:
            self._said.add(text)
            self._tell(text)


async def _patiently(call: Callable[[], Awaitable[T]], clock: Clock, until: dt.datetime, tell: Tell) -> T:
    """Return what is answered, however long the API server takes for it, until the time is up; raises Unavailable."""
    said = ""
    while True:
        try:
            return await call()
        except Unavailable as error:
            if clock.now() >= until:
                raise
            if str(error) != said:
                tell(str(error))
            said = str(error)
        await asyncio.sleep(_AGAIN)


async def _refuse_unknown(access: Access, wanted: Wanted, rows: Sequence[Leftover]) -> None:
    met = {row.run for row in rows} | {row.uid for row in rows}
    for name in sorted(each for each in wanted.names - met if "/" in each):
        namespace, _, plain = name.partition("/")
        if plain in met:
            continue
        try:
            await access.api.get(path("PerfRun", namespace, plain))
        except NotFound:
            raise Stop(f"there is no PerfRun {name}, and nothing is left of one; see perfrun chaos list") from None
        except Refused as error:
            raise Stop(f"the API server refuses to show PerfRun {name}: {error}") from error


def _ending(unseen: Sequence[str], tell: Tell) -> int:
    for each in unseen:
        tell(f"not looked at: {each}")
    return USAGE_ERROR if unseen else 0
