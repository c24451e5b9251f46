"""Clusters for the tests that need one: brought up once, told about, and taken down whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from perfrun.cli.devinstall import Tools, install
from perfrun.devcluster import cluster
from perfrun.devcluster.cluster import ClusterInfo
from perfrun.devcluster.tools import binary

ROOT = Path(__file__).parents[1]
RUNGS = ("unit", "contract", "cluster")
NODES = 6
"""Five that serve, as the first row of fault tolerance wants, and one from which load comes."""

CHART_NODES = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast rungs first: what fails there explains what fails above."""
    items.sort(key=lambda item: RUNGS.index(item.path.relative_to(ROOT / "tests").parts[0]))


@contextlib.contextmanager
def development_cluster(name: str, nodes: int, config: pytest.Config) -> Iterator[ClusterInfo]:
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n[{name}] {text}", end="", flush=True)  # noqa: T201 -- bringing a cluster up takes long enough to be told about

    with (Path(tempfile.gettempdir()) / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another test run uses the cluster of this name: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if cluster.down(name):
            tell("cleared what an interrupted test run left")
        tell(f"bringing up {nodes} nodes (the first time builds the cluster's programs, which takes minutes)")
        try:
            info = cluster.up(name, nodes, tell)
            yield info
        finally:
            cluster.down(name)
            tell("taken down\n")


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A cluster with perfrun's CRDs: the one of $PERFRUN_TEST_KUBECONFIG, or a development cluster."""
    given = os.environ.get("PERFRUN_TEST_KUBECONFIG")
    with contextlib.ExitStack() as stack:
        if given:
            path = Path(given)
        else:
            info = stack.enter_context(development_cluster("perfrun-test", NODES, request.config))
            path = info.kubeconfig
        os.environ["PERFRUN_TEST_HOST"] = own_address(path)
        run = runner(path)
        run("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
        run("wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "crds"))
        yield path


def own_address(kubeconfig: Path) -> str:
    """The address under which the cluster's pods reach this machine: the one it uses to reach the cluster."""
    server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((urlsplit(server).hostname, 1))
        return str(probe.getsockname()[0])


def runner(kubeconfig: Path) -> Callable[..., str]:
    program = binary("kubectl")

    def run(*arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002 -- as in subprocess.run
        answer = subprocess.run(
            [program, "--kubeconfig", kubeconfig, *arguments], input=input, capture_output=True, text=True, check=False
        )
        if check and answer.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)} failed: {answer.stderr}")
        return answer.stdout + ("" if check else answer.stderr)

    return run


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Callable[..., str]:
    """Run kubectl and return what it printed; with check=False, errors too."""
    return runner(kubeconfig)


@pytest.fixture
def namespace(kubectl: Callable[..., str]) -> Iterator[str]:
    """A namespace of this test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl(
        "create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    )
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def chart_cluster(request: pytest.FixtureRequest) -> Iterator[Tools]:
    """Helm and kubectl on a cluster that has never seen perfrun, apart from the one where other operators run."""
    with development_cluster("perfrun-chart", CHART_NODES, request.config) as info:
        yield Tools(info.helm, info.kubectl, info.kubeconfig)


@pytest.fixture
def operator_chart(chart_cluster: Tools) -> Tools:
    """The same, with the chart installed cluster-wide and the operator ready."""
    install(chart_cluster)
    return chart_cluster
