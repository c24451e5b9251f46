"""How fast the operator is on a cluster: start, apply → pod, result → verdict, and what it costs while idle.

Needs KUBECONFIG and perfrun's CRDs. The pods are real; what they run is a stand-in that hands in at once that nothing
could be measured, for what is timed here is the operator. The operator runs on this machine, so the pods must be able
to reach it: true on the development cluster. (A script named operator.py would shadow the standard library's module.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs

from perfrun.adapters.api import AlreadyExists, Api, NotFound, load_configuration
from perfrun.adapters.paths import object_path, pods_path
from perfrun.api import API_VERSION

RUNS = int(os.environ.get("PERFRUN_BENCH_RUNS", "100"))
STARTS = 5
IDLE_SECONDS = 30.0
NAMESPACE = "perfrun-bench"
IMAGE = os.environ.get("PERFRUN_BENCH_IMAGE", "perfrun.dev/base:1")
RUNTIME_CLASS = os.environ.get("PERFRUN_BENCH_RUNTIME_CLASS", "perfrun-host")

Row = tuple[str, float, float, float, float]

FEATURE = """Feature: Bench
  Scenario: One
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 1          | 16              |
    And a model of size "small"
    And a batch size of 1
    When sampling 8 tokens
    Then p99 latency should be below 1000 milliseconds
"""

STAND_IN = """
import os, time
from perfrun_kernels import contract, handin
request = contract.Request.from_json(os.environ[contract.REQUEST_ENV])
now = time.time()
result = contract.Result(run=request.run, stage=request.stage, attempt=request.attempt, outcome="Unmeasurable",
                         started=now, finished=now, reason="StandIn", message="nothing was measured: a stand-in")
handin.put(handin.Destination.of(os.environ), result.to_json(), 30)
"""


@attrs.define
class Seen:
    """When things were first seen, in wall-clock seconds, by name."""

    pods: dict[str, float] = attrs.field(factory=dict)
    verdicts: dict[str, float] = attrs.field(factory=dict)
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)


@attrs.frozen
class Process:
    """A running operator."""

    pid: int
    ready_after: float
    artifacts: Path


def run() -> list[Row]:
    """Return rows of name, median, least, most and the promised limit; milliseconds unless the name says otherwise."""
    return asyncio.run(_run())


async def _run() -> list[Row]:
    api = await Api.connect(lambda: load_configuration(os.environ["KUBECONFIG"]))
    await _namespace(api)
    try:
        rows = [_importing()]
        starts = []
        for _ in range(STARTS):
            with _operator(api) as process:
                starts.append(process.ready_after)
        rows.append(_row("operator: start → ready", starts, 2000))
        with _operator(api) as process:
            rows += await _latencies(api, process)
            rows += await _idle(process)
        return rows
    finally:
        with contextlib.suppress(NotFound):
            await api.delete(f"/api/v1/namespaces/{NAMESPACE}")
        await api.close()


def _row(name: str, values: list[float], limit: float, scale: float = 1000) -> Row:
    scaled = [value * scale for value in values]
    return (name, statistics.median(scaled), min(scaled), max(scaled), limit)


def _importing() -> Row:
    took = []
    for _ in range(STARTS + 1):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import perfrun.controller.app"], check=True)
        took.append(time.perf_counter() - begun)
    return _row("operator: import, as a process", took[1:], 2000)


@contextlib.contextmanager
def _operator(api: Api) -> Any:
    host = _own_address(api.server)
    port, probe = _free_port(host), _free_port(host)
    with tempfile.TemporaryDirectory(prefix="perfrun-bench-") as directory:
        log = Path(directory, "log")
        command = [
            sys.executable, "-m", "perfrun.controller", "--namespaces", NAMESPACE, "--host", host, "--port", str(port),
            "--probe-port", str(probe), "--results-url", f"http://{host}:{port}",
            "--artifacts", f"{directory}/artifacts", "--lease-namespace", NAMESPACE,
            "--image", IMAGE, "--runtime-class", RUNTIME_CLASS,
            "--pod-resources", '{"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}',
        ]  # fmt: skip
        begun = time.perf_counter()
        with log.open("wb") as errors, subprocess.Popen(command, stderr=errors) as process:
            try:
                while not _ready(f"http://{host}:{probe}/readyz"):
                    if process.poll() is not None:
                        raise RuntimeError(log.read_text())
                    time.sleep(0.01)
                yield Process(process.pid, time.perf_counter() - begun, Path(directory, "artifacts"))
            finally:
                process.terminate()
                process.wait()


def _own_address(server: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((urlsplit(server).hostname, 1))
        return str(probe.getsockname()[0])


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 -- our own process
            return bool(answer.status == 200)
    except OSError:
        return False


async def _namespace(api: Api) -> None:
    body = {"metadata": {"name": NAMESPACE}}
    while True:
        try:
            await api.create("/api/v1/namespaces", body)
        except AlreadyExists:
            with contextlib.suppress(NotFound):
                await api.delete(f"/api/v1/namespaces/{NAMESPACE}")
            await asyncio.sleep(0.5)
            continue
        break
    for _ in range(200):
        if await _there(api, f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"):
            break
        await asyncio.sleep(0.05)
    target = {
        "apiVersion": API_VERSION, "kind": "PerfTarget", "metadata": {"name": "bench"},
        "spec": {"llm": {"engine": "builtin"}, "pods": {"command": [sys.executable, "-c", STAND_IN]}},
    }  # fmt: skip
    await api.create(object_path("PerfTarget", NAMESPACE), target)


async def _there(api: Api, path: str) -> bool:
    try:
        await api.get(path)
    except NotFound:
        return False
    return True


async def _latencies(api: Api, process: Process) -> list[Row]:
    seen = Seen()
    watches = [
        asyncio.create_task(_watch(api, pods_path(NAMESPACE), lambda pod: _pod(seen, pod))),
        asyncio.create_task(_watch(api, object_path("PerfRun", NAMESPACE), lambda run: _perf_run(seen, run))),
    ]
    to_pod, to_verdict = [], []
    try:
        await asyncio.sleep(0.5)
        for number in range(RUNS + 1):
            name = f"feature-{number}"
            # Let the pod before be gone from its node, so that each feature is timed alone.
            await asyncio.sleep(0.5)
            applied = time.time()
            await api.create(object_path("PerfFeature", NAMESPACE), _feature(name))
            await _first(seen, seen.pods, name)
            await _first(seen, seen.verdicts, name)
            to_pod.append(seen.pods[name] - applied)
            to_verdict.append(seen.verdicts[name] - _handed_in(process, number))
    finally:
        for watch in watches:
            watch.cancel()
    return [
        _row(f"apply → pod exists, {RUNS} runs", to_pod[1:], 100),
        _tail(f"apply → pod exists, p99 of {RUNS}", to_pod[1:], 250),
        _row(f"pod hands in → verdict, {RUNS} runs", to_verdict[1:], 250),
        _tail(f"pod hands in → verdict, p99 of {RUNS}", to_verdict[1:], 250),
    ]


def _tail(name: str, values: list[float], limit: float) -> Row:
    ordered = sorted(values)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1] * 1000  # nearest rank
    return (name, p99, ordered[0] * 1000, ordered[-1] * 1000, limit)


def _feature(name: str) -> dict[str, Any]:
    spec = {"feature": FEATURE, "targetRef": "bench", "retry": {"limit": 0}}
    return {"apiVersion": API_VERSION, "kind": "PerfFeature", "metadata": {"name": name}, "spec": spec}


def _handed_in(process: Process, number: int) -> float:
    stored = sorted(process.artifacts.glob("runs/*/*/1/result.json"), key=lambda path: path.stat().st_mtime)
    return float(json.loads(stored[number].read_text())["finished"])


def _pod(seen: Seen, pod: dict[str, Any]) -> None:
    feature = pod["metadata"].get("labels", {}).get("perfrun.dev/feature", "")
    seen.pods.setdefault(feature, time.time())
    seen.changed.set()


def _perf_run(seen: Seen, run: dict[str, Any]) -> None:
    if (run.get("status") or {}).get("verdict"):
        seen.verdicts.setdefault(run["spec"].get("featureRef", ""), time.time())
        seen.changed.set()


async def _first(seen: Seen, where: dict[str, float], name: str) -> None:
    async with asyncio.timeout(60):
        while name not in where:
            seen.changed.clear()
            await seen.changed.wait()


async def _watch(api: Api, path: str, hear: Callable[[dict[str, Any]], None]) -> None:
    async for stored in _events(api, path):
        hear(stored)


async def _events(api: Api, path: str) -> AsyncIterator[dict[str, Any]]:
    header = await api.authorization()
    headers = {"Authorization": header} if header else {}
    since = (await api.get(path, {"limit": "1"}))["metadata"]["resourceVersion"]
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=api.connector(), headers=headers, read_bufsize=2**22) as session:
        query = {"watch": "1", "resourceVersion": since}
        async with session.get(f"{api.server}{path}", params=query, timeout=timeout) as answer:
            async for line in answer.content:
                yield json.loads(line)["object"]


async def _idle(process: Process) -> list[Row]:
    await asyncio.sleep(5)
    before = _cpu_seconds(process.pid)
    await asyncio.sleep(IDLE_SECONDS)
    share = (_cpu_seconds(process.pid) - before) / IDLE_SECONDS * 100
    resident = _resident_mib(process.pid)
    return [
        (f"operator: idle with {RUNS} features, MiB", resident, resident, resident, 120),
        (f"operator: idle with {RUNS} features, % of a core", share, share, share, 1),
    ]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    found = re.search(r"^Rss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found.group(1)) / 1024 if found else float("nan")


if __name__ == "__main__":
    for name, median, least, most, limit in run():
        print(f"{name}: median {median:.1f}, min {least:.1f}, max {most:.1f} (promised: < {limit:g})")
