"""Fixtures of the contract tests: a connection to a real API server, and what it needs to reach us."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from workbench import PODS, Bench

from perfrun.adapters.api import Api, NotFound, load_configuration
from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.adapters.clock import SystemClock
from perfrun.adapters.events import Recorder
from perfrun.adapters.kubernetes import KubernetesCluster
from perfrun.adapters.paths import node_path
from perfrun.manifests.agents import AgentSettings


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    connected = await Api.connect(lambda: load_configuration(str(kubeconfig)))
    yield connected
    await connected.close()


@pytest.fixture
async def bench(api: Api, namespace: str, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = SystemClock()
    events = Recorder(api, clock, "contract")
    telling = asyncio.create_task(events.run())
    # Agents of tests share the namespace of their test, so that they go with it.
    agents = AgentSettings(namespace=namespace, image="perfrun.dev/none:1")
    cluster = KubernetesCluster(api, PODS, clock, events, agents=agents)
    # The token controller makes it a moment after the namespace; pods are refused before.
    for _ in range(200):
        try:
            await api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        except NotFound:
            await asyncio.sleep(0.05)
        else:
            break
    yield Bench(api, cluster, events, FsspecArtifacts(str(tmp_path / "artifacts")), namespace)
    telling.cancel()
    for name in await cluster.nodes():
        # Those that a test made for itself; they are named after its namespace.
        if name.startswith(namespace):
            await api.delete(node_path(name))


@pytest.fixture
def reachable(api: Api) -> str:
    """The address of this machine that the API server can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((urlsplit(api.server).hostname, 1))
        return str(probe.getsockname()[0])


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[[str], Path]:
    """Make a directory with a self-signed certificate for an address."""

    def make(address: str) -> Path:
        directory = tmp_path / "tls"
        directory.mkdir()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "1", "-subj", "/CN=perfrun", "-addext", f"subjectAltName=IP:{address}",
             "-keyout", directory / "tls.key", "-out", directory / "tls.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
        (directory / "ca.crt").write_bytes((directory / "tls.crt").read_bytes())
        return directory

    return make
