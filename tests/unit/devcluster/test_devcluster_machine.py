"""What the machine has to bring is checked before anything is made, and cgroups of both kinds are prepared."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from perfrun.devcluster import cgroups, packages
from perfrun.devcluster.commands import app
from perfrun.devcluster.errors import DevClusterError

if TYPE_CHECKING:
    from pathlib import Path

NOT_ALLOWED = 101
"""What invoke-rc.d takes from policy-rc.d for a refusal."""


def test_without_root_it_says_so_and_offers_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(DevClusterError, match=r"as root.*sudo.*kubeconfig"):
        packages.ensure(lambda _: None)


def test_without_apt_the_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    said: list[str] = []
    with pytest.raises(DevClusterError, match=r"runc.*nftables"):
        packages.ensure(said.append)
    assert "runc" in said[0]


def test_servers_are_installed_without_being_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_START_POLICY", policy)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with packages.services_left_alone(["nginx.service"]):
        assert subprocess.run([policy, "nginx", "start"], check=False).returncode == NOT_ALLOWED
    assert not policy.exists()


def test_a_machine_that_has_a_policy_of_its_own_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 104\n")
    monkeypatch.setattr(packages, "_START_POLICY", policy)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with packages.services_left_alone(["nginx.service"]):
        assert "104" in policy.read_text()
    assert "104" in policy.read_text()


@pytest.mark.parametrize("given", ["node1", "node1=", "node1=many", "node1=-1"])
def test_gpus_without_a_count_are_refused(given: str) -> None:
    answer = CliRunner().invoke(app, ["up", "--nodes", "1", "--gpu-capacity", given])
    assert answer.exit_code == 1
    assert f"--gpu-capacity {given}: expected a node and a count" in answer.stderr


@pytest.mark.parametrize("command", [["status"], ["kubeconfig"], ["load-image", "none.tar"]])
def test_a_cluster_that_is_not_there_is_named_with_what_to_do(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path if len(str(tmp_path)) < 40 else tmp_path.parents[2]
    monkeypatch.setenv("PERFRUN_STATE", str(root))
    answer = CliRunner().invoke(app, [*command, "--name", "nowhere"])
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert "no development cluster 'nowhere' is up" in answer.stderr
    assert "perfrun dev up --name nowhere" in answer.stderr


def test_controllers_are_handed_down_where_there_is_one_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    cgroups.create_in(tmp_path, ("cluster", "node1"))
    assert (tmp_path / "cluster" / "node1").is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text().split() == [
        "+cpuset",
        "+io",
        "+memory",
        "+pids",
        "+hugetlb",
    ]


def test_a_new_cpuset_is_given_its_parents_processors(tmp_path: Path) -> None:
    group = tmp_path / "cluster"
    group.mkdir()
    for name, content in {"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"}.items():
        (tmp_path / name).write_text(content)
        (group / name).write_text("\n")
    cgroups.create_in(tmp_path, ("cluster", "node1"))
    assert (group / "cpuset.cpus").read_text() == "0-1\n"
    assert (group / "cpuset.mems").read_text() == "0\n"


@pytest.mark.parametrize(("name", "weight"), [("cpu.shares", 8192), ("cpu.weight", 800)])
def test_pods_weigh_more_than_what_else_the_machine_does(name: str, weight: int, tmp_path: Path) -> None:
    (tmp_path / name).write_text("100\n")
    cgroups.weigh(tmp_path)
    assert int((tmp_path / name).read_text()) == weight
    assert [path.name for path in tmp_path.iterdir()] == [name]
