"""The ids that real servers log are read from their real logs, and a log that is gone is told."""

from __future__ import annotations

import asyncio
import datetime as dt
import http.client
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs
import pytest
import served

from perfrun.adapters.api import Api, load_configuration
from perfrun.adapters.seeing import Seeing
from perfrun.adapters.servedlogs import ServedLogs
from perfrun.api.faults import ServingNode
from perfrun.api.plan import Plan, PlannedScenario, Stage
from perfrun.api.run import Frozen, RunSpec, RunStatus, StageStatus
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.values import Meta, Run
from perfrun.manifests.loads import request_prefix

pytestmark = pytest.mark.cluster

NODES = 3
UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
LOAD, IDS = "s0-load", Stage(id="s0-ids", scenario=0, kind="ids", parameters={"after": "s0-load"})


def a_run(namespace: str, serving: tuple[ServingNode, ...]) -> Run:
    """Return a run whose load was answered by these; nothing of it needs to be stored to read logs for it."""
    frozen = Frozen(
        feature="", feature_digest="", target=TargetSpec.from_wire(served.target()["spec"]), target_digest="",
        plan=Plan(scenarios=(PlannedScenario(name="x", line=1, steps=()),), stages=(IDS,)), plan_digest="",
    )  # fmt: skip
    load = StageStatus(id=LOAD, state="Done", attempt=1, serving=serving)
    status = RunStatus(frozen=frozen, stages=(load, StageStatus(id=IDS.id)))
    return Run(Meta("run", namespace, UID), RunSpec(feature="x", target_ref="served"), status)


def ask(address: str, path: str, identifier: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("GET", path, headers={"X-Request-Id": identifier})
    connection.getresponse().read()
    connection.close()


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    connected = await Api.connect(lambda: load_configuration(str(kubeconfig)))
    yield connected
    await connected.close()


async def test_every_good_answer_is_found_and_nothing_else(
    api: Api, kubectl: Callable[..., str], namespace: str
) -> None:
    served.serve(kubectl, namespace, served.Variant(NODES))
    service = json.loads(kubectl("get", "service", "served", "-n", namespace, "-o", "json"))
    address = service["spec"]["clusterIP"]
    seen = await Seeing(api, namespace).serving(namespace, "served")
    assert isinstance(seen, dict)
    serving = tuple(ServingNode(node=node, pods=pods) for node, pods in seen.items())
    run, since = a_run(namespace, serving), dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    prefix, another = request_prefix(UID, LOAD, 1), request_prefix(UID, LOAD, 2)
    expected = {f"{prefix}-0-{number}-0" for number in range(200)}
    for each in sorted(expected):
        await asyncio.to_thread(ask, address, "/small", each)
        await asyncio.to_thread(ask, address, "/nothing", f"{each}-missing")
    for other in (f"{another}-0-1-0", f"probe.{prefix}-0-1-0"):
        await asyncio.to_thread(ask, address, "/small", other)

    async def read() -> tuple[set[str], tuple[str, ...]]:
        found = await ServedLogs(api).ids(run, IDS, since)
        return set(found.ids), found.gaps

    for _ in range(50):
        # The runtime writes a log a moment after the server did.
        if await read() == (expected, ()):
            break
        await asyncio.sleep(0.1)
    assert await read() == (expected, ())
    late = attrs.evolve(run, meta=attrs.evolve(run.meta, uid="another"))
    assert (await ServedLogs(api).ids(late, IDS, since)).ids == ()

    gone = serving[0].pods[0]
    await asyncio.to_thread(kubectl, "delete", "pod", gone, "-n", namespace, "--wait=true")
    ids, gaps = await read()
    assert ids < expected
    assert f"pod {gone} is gone, and its log with it" in gaps
    kubectl("delete", "deployment", "served", "-n", namespace, "--wait=false")
