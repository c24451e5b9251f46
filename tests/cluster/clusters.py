"""Development clusters for tests: brought up, told about, and taken down whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perfrun.devcluster import cluster
from perfrun.devcluster.cluster import ClusterInfo
from perfrun.devcluster.tools import binary


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
