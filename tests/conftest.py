"""Clusters for the tests that need one: brought up once, told about, and taken down whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from clusters import development_cluster, runner

from perfrun.cli.devinstall import Tools, install

if not Path("/dev/nvidiactl").exists():
    # Before anything imports Triton: without a GPU its kernels are interpreted.
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).parents[1]
RUNGS = ("unit", "gpu", "contract", "cluster")
NODES = 6
"""Five that serve, as the first row of fault tolerance wants, and one from which load comes."""

CHART_NODES = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the fast rungs first: what fails there explains what fails above."""
    items.sort(key=lambda item: RUNGS.index(item.path.relative_to(ROOT / "tests").parts[0]))


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
