"""The operator put together: what runs, in which order it starts and stops, and when it counts as well.

Everything is made before anything is started, so a wrong setting ends the process with a sentence. Watching begins
at once, on a standby too, so that whoever becomes the leader knows what there is; only the leader works. A part that
ends by itself ends the operator: being restarted is cheap, since all that matters is in the cluster.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Final

import attrs
import kopf

from perfrun.adapters.api import Api, NotFound, load_configuration
from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.adapters.clock import SystemClock
from perfrun.adapters.drive import World, drive
from perfrun.adapters.events import Recorder
from perfrun.adapters.kubernetes import KubernetesCluster
from perfrun.adapters.prometheus import PrometheusMetrics
from perfrun.adapters.reading import PLURALS, MalformedError
from perfrun.api import API_VERSION
from perfrun.controller import handlers, session
from perfrun.controller.access import Access
from perfrun.controller.admission import Admission
from perfrun.controller.forecasts import expose
from perfrun.controller.http import Health, Services, probes, public
from perfrun.controller.hub import Hub
from perfrun.controller.leadership import Leadership, LeadershipLostError
from perfrun.controller.listening import listening
from perfrun.controller.queue import WakeQueue
from perfrun.controller.results import Results
from perfrun.controller.settings import Settings, SettingsError
from perfrun.controller.sweep import Sweeper
from perfrun.controller.telemetry import Telemetry
from perfrun.controller.watches import Watches
from perfrun.lifecycle.values import Key
from perfrun.ports import Clock, Unavailable

log = logging.getLogger(__name__)

CONFIG_MAP_POLL: Final = 30.0
"""Seconds after which a changed ConfigMap is noticed at the latest; watching them would need to see all of them."""

CRD_PATIENCE: Final = 60.0
DRAIN: Final = 5.0
"""Seconds that turns under way, news and watches are given to end by themselves."""


@attrs.frozen
class Operator:
    """All parts, connected; nothing runs yet."""

    settings: Settings
    api: Api
    clock: Clock
    watches: Watches
    telemetry: Telemetry
    queue: WakeQueue
    hub: Hub
    sweeper: Sweeper
    events: Recorder
    leadership: Leadership
    registry: kopf.OperatorRegistry
    kopf_settings: kopf.OperatorSettings
    services: Services


async def assemble(settings: Settings) -> Operator:
    """Make every part of an operator.

    Raises:
        SettingsError: a setting cannot be used.
        Unavailable: there is no way to reach a cluster.
    """
    clock = SystemClock()
    api = await Api.connect(lambda: load_configuration(settings.kubeconfig))
    paths = handlers.watched_paths(settings.namespaces)
    watches = Watches(paths.values(), time.monotonic, settings.watch_seconds)
    telemetry = Telemetry()

    def wrote(key: Key, version: str) -> None:
        watches.wrote(handlers.path_of(paths, PLURALS[key.kind], key.namespace), version)

    events = Recorder(api, clock, settings.identity)
    cluster = KubernetesCluster(
        api, settings.pods(), clock, events, wrote,
        agents=settings.agents(), home=(settings.lease_namespace, settings.identity), namespaces=settings.namespaces,
        chaos=settings.chaos,
    )  # fmt: skip
    try:
        artifacts = FsspecArtifacts(settings.artifacts, settings.reached_at)
    except (ValueError, ImportError, OSError) as error:
        msg = f"--artifacts: {settings.artifacts!r} cannot be used ({error}); expected an fsspec URL or a directory"
        raise SettingsError(msg) from error
    queue = WakeQueue(
        _work(World(cluster, PrometheusMetrics(), artifacts, clock), cluster), clock, settings.workers, telemetry.turn
    )
    sweeper = Sweeper(artifacts, cluster, settings.namespaces)
    hub = Hub(queue.wake, sweeper.orphaned, telemetry)
    leadership = Leadership(api, settings.lease_namespace, settings.lease_name, settings.identity, clock)
    registry, kopf_settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
    handlers.settle(kopf_settings, settings.watch_seconds)
    handlers.register(registry, hub, watches, paths)
    session.register(registry, api, watches)
    access = Access(api)
    services = Services(
        cluster=cluster, artifacts=artifacts, access=access,
        results=Results(api, cluster, artifacts, access, queue.wake, settings.agent_namespace),
        review=Admission(cluster).review, telemetry=telemetry, leads=lambda: leadership.leads,
        namespace_of=hub.namespace_of,
    )  # fmt: skip
    operator = Operator(
        settings, api, clock, watches, telemetry, queue, hub, sweeper, events, leadership, registry, kopf_settings,
        services,
    )  # fmt: skip
    _gauges(operator)
    return operator


async def serve(settings: Settings) -> None:
    """Run an operator until it is asked to stop by SIGTERM or SIGINT.

    Raises:
        SettingsError: a setting cannot be used.
        Unavailable: the cluster is not there, or does not know our kinds.
        LeadershipLostError: another operator leads now; this process must end.
        RuntimeError: a part ended by itself.
    """
    operator = await assemble(settings)
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(operator.api.close)
        health = Health(
            dead=operator.watches.dead, unready=lambda: problems(operator), metrics=operator.telemetry.exposition
        )
        await stack.enter_async_context(listening(settings, probes(health), public(operator.services)))
        await kinds_served(operator.api)
        await _run(operator, stop)


def problems(operator: Operator) -> list[str]:
    """Return why the operator is not ready: a sentence for each reason."""
    return [] if operator.watches.all_answered() else ["not every watch has begun yet"]


async def _run(operator: Operator, stop: asyncio.Event) -> None:
    watching_stops, watching_starts = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(
        kopf.operator(
            registry=operator.registry, settings=operator.kopf_settings, standalone=True,
            clusterwide=not operator.settings.namespaces, namespaces=operator.settings.namespaces,
            stop_flag=watching_stops, ready_flag=watching_starts,
        ),
        name="watching",
    )  # fmt: skip
    telling = asyncio.create_task(operator.events.run(), name="telling")
    parts = {
        watching,
        asyncio.create_task(_working(operator), name="working"),
        asyncio.create_task(operator.sweeper.run(), name="sweeping"),
        telling,
        asyncio.create_task(_polling(operator), name="polling"),
    }
    stopping = asyncio.create_task(stop.wait(), name="stopping")
    # kopf takes the signals when it starts; they are taken back then, for there is an order in which to stop.
    signals = asyncio.create_task(_signals(watching_starts, stop), name="signals")
    try:
        await asyncio.wait({*parts, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        signals.cancel()
        await _stop(operator, parts - {watching, telling})
        telling.cancel()
        watching_stops.set()
        await asyncio.wait({watching}, timeout=DRAIN)
        watching.cancel()
        ended = await asyncio.gather(*parts, return_exceptions=True)
    failures = [each for each in ended if isinstance(each, Exception)]
    if failures:
        raise failures[0]
    if not stop.is_set():
        log.info("watching ended; stopping")


async def _stop(operator: Operator, parts: set[asyncio.Task[None]]) -> None:
    for part in parts:
        part.cancel()
    await asyncio.wait(parts)
    await operator.queue.drain(DRAIN)
    await operator.leadership.release()
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN):
            await operator.events.flush()


async def _working(operator: Operator) -> None:
    await operator.leadership.acquire()
    dispatching = asyncio.create_task(operator.queue.run(), name="dispatching")
    try:
        await operator.leadership.keep()
    except LeadershipLostError:
        dispatching.cancel()
        # Another may begin any moment, so nothing of ours may still be under way.
        await operator.queue.drain(0)
        raise
    finally:
        dispatching.cancel()


async def _polling(operator: Operator) -> None:
    while True:
        await asyncio.sleep(CONFIG_MAP_POLL)
        operator.hub.poll()


async def _signals(started: asyncio.Event, stop: asyncio.Event) -> None:
    await started.wait()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def kinds_served(api: Api, patience: float = CRD_PATIENCE, every: float = 1.0) -> None:
    """Wait until the cluster serves our kinds, for kopf watches only what is there when it starts.

    An API server that is just away is waited for as well: a process that ends is restarted ever more slowly.

    Raises:
        Unavailable: the kinds are not served after ``patience`` seconds; the message says what to do.
    """
    deadline = time.monotonic() + patience
    while problem := await _kinds_missing(api):
        if time.monotonic() > deadline:
            raise Unavailable(problem)
        log.info("waiting for the cluster", extra={"problem": problem})
        await asyncio.sleep(every)


async def _kinds_missing(api: Api) -> str:
    try:
        found = await api.get(f"/apis/{API_VERSION}")
    except NotFound:
        found = {"resources": []}
    except Unavailable as error:
        return str(error)
    missing = sorted(set(PLURALS.values()) - {each["name"] for each in found["resources"]})
    return f"the cluster at {api.server} does not know {', '.join(missing)}; apply perfrun's CRDs" if missing else ""


def _work(world: World, cluster: KubernetesCluster) -> Callable[[Key], Awaitable[dt.datetime | None]]:
    async def work(key: Key) -> dt.datetime | None:
        try:
            return await drive(key, world)
        except MalformedError as error:
            # Nothing can be decided about it until somebody changes it, and that is an event.
            log.warning("malformed", extra={"error": str(error)})
            await cluster.declare_malformed(error)
            return None

    return work


def _gauges(operator: Operator) -> None:
    telemetry, queue, leadership = operator.telemetry, operator.queue, operator.leadership
    telemetry.gauge("perfrun_queue_depth", "Objects that wait for their turn", (), lambda: {(): queue.depth})
    telemetry.gauge("perfrun_queue_running", "Objects that have their turn", (), lambda: {(): queue.running})
    telemetry.gauge("perfrun_leader", "1 where this operator leads", (), lambda: {(): float(leadership.leads)})
    telemetry.gauge("perfrun_runs", "Runs, by phase and verdict", ("phase", "verdict"), operator.hub.phases)
    expose(operator.hub.forecasts, telemetry.gauge, operator.clock.now)
    telemetry.gauge(
        "perfrun_watch_age_seconds", "Seconds since a watch last showed life", ("path",),
        lambda: {(path,): age for path, age in operator.watches.ages().items()},
    )  # fmt: skip
