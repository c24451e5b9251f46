"""The request ids that servers say they answered, read from their own logs.

The logs of a load may be large, so they are read as they come and only the ids are kept. What could not be read is
told as a gap: an id that is missing from a log that was not read in full says nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

import attrs

from perfrun.adapters.api import Api, NotFound, Refused
from perfrun.adapters.externals import service_of
from perfrun.adapters.paths import or_none, pods_path, services_path
from perfrun.api.plan import Stage
from perfrun.api.run import StageStatus
from perfrun.api.service import RequestLog
from perfrun.capabilities.base import ServedIds
from perfrun.lifecycle.values import Run
from perfrun.manifests.loads import request_prefix
from perfrun.ports import Unavailable

SECONDS: Final = 80.0
"""Longest time for all logs together; a turn lasts no more than two minutes."""

MOST_BYTES: Final = 512 * 1024 * 1024
"""Most that is read of one log."""

_AT_ONCE: Final = 4
_LONGEST_LINE: Final = 64 * 1024


@attrs.frozen
class Wanted:
    """What to look for: ``good`` is what a line about a good answer looks like, ``prefix`` what ids begin with."""

    good: re.Pattern[str]
    prefix: str


class Finder:
    """Finds ids in one log that comes in pieces."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._mark = wanted.prefix.encode()
        self._rest = b""
        self.found: set[str] = set()

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        *lines, rest = (self._rest + piece).split(b"\n")
        # Something without an end would be copied with each piece; whatever it is, it is no line about a request.
        self._rest = rest[-_LONGEST_LINE:]
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """Take what is left: a log may end without the end of its last line."""
        self._take(self._rest)
        self._rest = b""

    def _take(self, line: bytes) -> None:
        # Most lines may be about other requests, and bytes are searched quickly.
        if self._mark not in line:
            return
        match = self._wanted.good.search(line.decode(errors="replace").rstrip("\r"))
        if match is not None and (found := match["id"] or "").startswith(self._wanted.prefix):
            self.found.add(found)


@attrs.frozen
class ServedLogs:
    """Reads the logs of the pods behind a run's Service."""

    api: Api

    async def ids(self, run: Run, stage: Stage, since: dt.datetime) -> ServedIds:
        """Return the ids of a load's requests that its servers have logged as well answered since a moment.

        ``stage`` is the load's, or that of reading its ids. Servers are the pods that were behind the Service when the
        load began, and those that its selector names now.
        """
        service = run.status.frozen.target.service if run.status.frozen else None
        if service is None or service.request_log is None:
            return ServedIds((), (), ("the target's service has no requestLog",))
        load = _load_of(run, stage)
        try:
            wanted = Wanted(_good(service.request_log), f"{request_prefix(run.meta.uid, load.id, load.attempt)}-")
        except ValueError as error:
            return ServedIds((), (), (f"service.requestLog.good: {error}",))
        pods = await self._servers(run, load)
        reading = _Reading(self.api, service_of(run)[0], service.request_log.container, since, wanted)
        gate, found, gaps = asyncio.Semaphore(_AT_ONCE), set[str](), list[str]()

        async def read(pod: str) -> None:
            async with gate:
                ids, gap = await reading.of(pod)
            found.update(ids)
            gaps.extend([gap] if gap else [])

        await asyncio.gather(*map(read, pods))
        return ServedIds(tuple(sorted(found)), pods, tuple(sorted(gaps)))

    async def _servers(self, run: Run, load: StageStatus) -> tuple[str, ...]:
        namespace, service = service_of(run)
        names = {pod for node in load.serving for pod in node.pods}
        stored = await or_none(self.api.get(services_path(namespace, service))) or {}
        if selector := (stored.get("spec") or {}).get("selector"):
            labels = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
            names |= {each["metadata"]["name"] async for each in self.api.pages(pods_path(namespace), labels)}
        return tuple(sorted(names))


def _seconds_from_now() -> float:
    return asyncio.get_running_loop().time() + SECONDS


@attrs.frozen
class _Reading:
    """The logs of one container name, of as many pods as have it."""

    api: Api
    namespace: str
    container: str
    since: dt.datetime
    wanted: Wanted
    deadline: float = attrs.field(factory=_seconds_from_now)

    async def of(self, pod: str) -> tuple[set[str], str]:
        """Return the ids in the logs of a pod, and in a sentence what is missing of these, or nothing."""
        finders: list[Finder] = []
        try:
            async with asyncio.timeout_at(self.deadline):
                gap = await self._read(pod, finders)
        except (Unavailable, Refused) as error:
            gap = f"the log of pod {pod} cannot be read: {error}"
        except NotFound:
            gap = f"pod {pod} is gone, and its log with it"
        except TimeoutError:
            gap = f"the log of pod {pod} was not read within {SECONDS:.0f} s"
        return {each for finder in finders for each in finder.found}, gap

    async def _read(self, pod: str, finders: list[Finder]) -> str:
        stored = await self.api.get(pods_path(self.namespace, pod))
        statuses: list[Mapping[str, Any]] = (stored.get("status") or {}).get("containerStatuses") or []
        container = next((each for each in statuses if each["name"] == self.container), None)
        if container is None:
            return f"pod {pod} has no container {self.container}; correct service.requestLog.container"
        restarts = container.get("restartCount", 0)
        for previous in (True, False) if restarts else (False,):
            finders.append(Finder(self.wanted))
            if not await self._stream(pod, finders[-1], previous=previous):
                return f"the log of pod {pod} was read no further than {MOST_BYTES // 2**20} MiB"
        if restarts > 1:
            return f"{self.container} in pod {pod} was restarted {restarts} times, and only the last two logs are kept"
        return ""

    async def _stream(self, pod: str, finder: Finder, *, previous: bool) -> bool:
        """Read one log, and return whether it was read to its end."""
        query = {"container": self.container, "sinceTime": self.since.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if previous:
            query["previous"] = "true"
        size = 0
        pieces = self.api.chunks(f"{pods_path(self.namespace, pod)}/log", query, SECONDS)
        async with aclosing(pieces):
            async for piece in pieces:
                size += len(piece)
                if size > MOST_BYTES:
                    return False
                finder.feed(piece)
        finder.end()
        return True


def _load_of(run: Run, stage: Stage) -> StageStatus:
    name = str(stage.parameters.get("after", stage.id))
    return next(each for each in run.status.stages if each.id == name)


def _good(log: RequestLog) -> re.Pattern[str]:
    """Return what a line about a good answer looks like; raises ValueError where that cannot be told."""
    try:
        pattern = re.compile(log.good)
    except re.error as error:
        msg = f"found {log.good!r}, expected a regular expression: {error}"
        raise ValueError(msg) from error
    if "id" not in pattern.groupindex:
        msg = f"found {log.good!r}, expected a group named id, as in (?P<id>\\S+)"
        raise ValueError(msg)
    return pattern
