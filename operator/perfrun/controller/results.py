"""Takes in what benchmark pods and agents measured: from the right pod only, stored before it is acknowledged, once.

What arrives is kept even where it is no result: the run then ends with a sentence that quotes it, instead of
waiting for something better from the same pod.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from perfrun.adapters.api import Api
from perfrun.adapters.paths import jobs_path, or_none, pods_path
from perfrun.adapters.podview import completion_index
from perfrun.adapters.reading import owned_by
from perfrun.controller.access import Access, DeniedError
from perfrun.lifecycle.values import Key, Run
from perfrun.manifests.agents import DEFAULT_NAMESPACE
from perfrun.manifests.names import agent_name, pod_name
from perfrun.ports import Artifacts, Cluster, checkpoint_path, result_path, shard_path
from perfrun_kernels.contract import ContractError, Result

MAX_RESULT_BYTES: Final = 16 * 1024 * 1024


@attrs.frozen
class Place:
    """What a result claims to be the result of.

    ``shard`` is the generator's number, of a load that several make. A ``partial`` one is what the pod has so far.
    """

    namespace: str
    run: str
    stage: str
    attempt: int
    shard: int | None = None
    partial: bool = False

    def path(self, run_uid: str) -> str:
        """Return where the result is kept."""
        if self.partial:
            return checkpoint_path(run_uid, self.stage, self.attempt)
        if self.shard is None:
            return result_path(run_uid, self.stage, self.attempt)
        return shard_path(run_uid, self.stage, self.attempt, self.shard)

    def __str__(self) -> str:
        attempt = f"attempt {self.attempt} at {self.stage}"
        return attempt if self.shard is None else f"shard {self.shard} of {attempt}"


@attrs.frozen
class Reply:
    """An HTTP status with one sentence."""

    status: int
    message: str


class Results:
    """The results endpoint without its HTTP; ``agents`` is the namespace of fault agents, and no pod's of a run."""

    def __init__(
        self, api: Api, cluster: Cluster, artifacts: Artifacts, access: Access, wake: Callable[[Key], None],
        agents: str = DEFAULT_NAMESPACE,
    ) -> None:  # fmt: skip
        self._api = api
        self._cluster = cluster
        self._artifacts = artifacts
        self._access = access
        self._wake = wake
        self._agents = agents
        # One lock per path would have to be thrown away some time; paths may as well share a few.
        self._locks = tuple(asyncio.Lock() for _ in range(64))

    async def take(self, place: Place, token: str, body: bytes) -> Reply:
        """Store a result and wake its run, or store what a pod has so far.

        The same content again is accepted again; other content is a conflict, unless it is partial: the newest counts.
        Raises DeniedError where the token is not that of the pod that makes this attempt, Unavailable where the API
        server or the store did not answer.
        """
        caller = await self._access.pod(token)
        run = await self._cluster.run(Key("PerfRun", place.namespace, place.run))
        if run is None:
            return Reply(404, f"there is no PerfRun {place.run} in namespace {place.namespace}")
        await self._check_pod(place, run, (caller.namespace, caller.pod, caller.pod_uid))
        path = place.path(run.meta.uid)
        async with self._locks[hash(path) % len(self._locks)]:
            if place.partial:
                return await self._keep(place, run, path, body)
            return await self._store(place, run, path, body)

    async def _check_pod(self, place: Place, run: Run, caller: tuple[str, str, str]) -> None:
        namespace, pod, uid = caller
        there = await or_none(self._api.get(pods_path(namespace, pod)))
        if there is None or there["metadata"]["uid"] != uid:
            raise DeniedError(403, f"pod {namespace}/{pod} is not there any more")
        if expecting := expected_agents(run, place):
            # Nobody but the operator makes pods in that namespace, so a name is enough: no agent has an owner.
            if namespace != self._agents or pod not in expecting:
                where = " or ".join(f"{self._agents}/{each}" for each in expecting)
                msg = f"pod {namespace}/{pod} may not hand in the result of {place}; expected pod {where}"
                raise DeniedError(403, msg)
            return
        name = pod_name(place.run, place.stage, place.attempt)
        if place.shard is None:
            ours, expected = namespace == place.namespace and pod == name, f"pod {place.namespace}/{name}"
            owner = run.meta.uid
        else:
            job = await or_none(self._api.get(jobs_path(place.namespace, name)))
            owner = job["metadata"]["uid"] if job is not None and owned_by(job, run.meta.uid) else ""
            ours = namespace == place.namespace and completion_index(there) == place.shard and _made_by(there, name)
            expected = f"pod {place.shard} of Job {place.namespace}/{name}"
        if not ours:
            raise DeniedError(403, f"pod {namespace}/{pod} may not hand in the result of {place}; expected {expected}")
        if not owned_by(there, owner):
            raise DeniedError(403, f"pod {namespace}/{pod} does not belong to this PerfRun {place.run}")

    async def _store(self, place: Place, run: Run, path: str, body: bytes) -> Reply:
        result, problem = parsed(body)
        if result is not None and (misplaced := of_another(place, result)):
            return Reply(400, misplaced)
        before = await self._artifacts.get(path)
        if before is not None:
            if before[1] != body:
                return Reply(409, f"another result of {place} was handed in before")
        elif run.status.phase.finished:
            return Reply(410, f"PerfRun {place.run} is finished ({run.status.phase}); nothing is added to it")
        else:
            await self._artifacts.put(path, body)
        self._wake(Key("PerfRun", place.namespace, place.run))
        return Reply(400, problem) if problem else Reply(200, "stored")

    async def _keep(self, place: Place, run: Run, path: str, body: bytes) -> Reply:
        """Keep a checkpoint; nobody waits for it, and nothing is made of one that is no result."""
        result, problem = parsed(body)
        if result is None or (problem := of_another(place, result)):
            return Reply(400, problem)
        if run.status.phase.finished:
            return Reply(410, f"PerfRun {place.run} is finished ({run.status.phase}); nothing is added to it")
        await self._artifacts.put(path, body)
        return Reply(200, "stored")


def expected_agents(run: Run, place: Place) -> tuple[str, ...]:
    """Return the pods of the agents that measure for a place: those of the run's fault of that name, if it has one."""
    if place.shard is not None:
        return ()
    return tuple(
        agent_name(run.meta.uid, fault.id, each.node, fault.kind, place.attempt)
        for fault in run.status.faults
        if fault.id == place.stage and fault.kind == "spike"
        for each in fault.nodes
    )


def _made_by(pod: Mapping[str, Any], job: str) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(each.get("kind") == "Job" and each.get("name") == job for each in owners)


def parsed(body: bytes) -> tuple[Result | None, str]:
    """Return the result, or None and a sentence that says why the body is none."""
    try:
        return Result.from_json(body.decode()), ""
    except UnicodeDecodeError as error:
        return None, f"expected a result as UTF-8 JSON, found bytes that are not UTF-8 at position {error.start}"
    except (ContractError, TypeError, AttributeError) as error:
        return None, str(error)


def of_another(place: Place, result: Result) -> str:
    """Return a sentence where the result says that it is that of another attempt, else an empty text."""
    found, expected = (result.run, result.stage, result.attempt), (place.run, place.stage, place.attempt)
    return "" if found == expected else f"the result says that it is of {found}, expected {expected}"
