"""What nodes share, what pods of the host see, and what images are called."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.devcluster import bringup, configs, exporters, images, monitoring, supervisor, tools
from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.layout import Layout
from perfrun.devcluster.state import Events, ProcessId, read_events

GIB = 2**30


@given(st.integers(1, 64), st.integers(1, 256), st.integers(2 * GIB, 4096 * GIB))
def test_what_all_nodes_offer_is_no_more_than_the_machine_has(nodes: int, cpus: int, memory: int) -> None:
    reserved = configs.reserved(nodes, cpus, memory)
    cpu, kept = int(reserved["cpu"].removesuffix("m")), int(reserved["memory"])
    assert 0 <= cpu < 1000 * cpus
    assert nodes * (1000 * cpus - cpu) <= 1000 * cpus
    assert nodes * (memory - kept) <= memory + nodes * configs.EVICTION_BYTES


def test_mounts_inside_mounts_are_left_out() -> None:
    given_paths = [Path(path) for path in ("/usr", "/usr/local", "/usr", "/opt/venv", "/optional")]
    assert bringup.outermost(given_paths) == [Path("/opt/venv"), Path("/optional"), Path("/usr")]


def test_pods_of_the_host_runtime_see_this_project() -> None:
    shown = bringup.host_mounts()
    assert any(Path(configs.__file__).is_relative_to(path) for path in shown)
    assert all(path.is_dir() for path in shown)


def test_the_host_is_shown_read_only() -> None:
    specification = configs.with_mounts({"mounts": [{"destination": "/proc"}]}, [Path("/usr")])
    first, second = specification["mounts"]
    assert first == {"destination": "/proc"}
    assert (second["source"], second["destination"]) == ("/usr", "/usr")
    assert {"ro", "nosuid", "nodev"} <= set(second["options"])


@pytest.mark.parametrize(
    ("given_name", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1", "docker.io/library/nginx:1"),
        ("team/app", "docker.io/team/app:latest"),
        ("example.test/app:2", "example.test/app:2"),
        ("localhost/app", "localhost/app:latest"),
        ("registry:5000/app", "registry:5000/app:latest"),
        ("example.test/app@sha256:00", "example.test/app@sha256:00"),
    ],
)
def test_image_names_are_those_that_the_kubelet_asks_for(given_name: str, full: str) -> None:
    assert images.normalized(given_name) == full


def test_the_base_image_depends_on_its_content_only() -> None:
    assert images.base_image(b"busybox") == images.base_image(b"busybox")
    assert images.base_image(b"busybox") != images.base_image(b"another")


def test_an_oci_archive_tells_its_names(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(images.base_image(b"busybox"))
    assert images.archive_references(archive) == [images.BASE_IMAGE]


def test_a_docker_archive_tells_its_names(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    content = json.dumps([{"RepoTags": ["app:1", "team/app"]}, {"RepoTags": None}]).encode()
    with tarfile.open(archive, "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    assert images.archive_references(archive) == ["docker.io/library/app:1", "docker.io/team/app:latest"]


def test_an_order_that_was_cut_off_is_no_order() -> None:
    layout = Layout(name="a", slot=3, nodes=2, state_root=Path("/var/lib/perfrun"))
    order = bringup.Order(layout=layout, bin_dir=Path("/bin"), gpu_capacity={"node1": 8})
    encoded = supervisor.encode(order)
    assert supervisor.decode(encoded) == order
    assert all(supervisor.decode(encoded[:end]) is None for end in range(len(encoded)))


def test_half_written_progress_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(path) == []
    Events(path).step("first")
    with path.open("a") as file:
        file.write('{"step": "sec')
    assert [event["step"] for event in read_events(path)] == ["first"]
    with path.open("a") as file:
        file.write('ond", "seconds": 1}\n')
    assert [event["step"] for event in read_events(path, skip=1)] == ["second"]


def test_a_process_is_more_than_its_number() -> None:
    first = ProcessId.of(1)
    assert first is not None
    assert first.alive
    assert not ProcessId(pid=1, started=first.started + 1, boot=first.boot).alive
    assert not ProcessId(pid=1, started=first.started, boot="another").alive


def test_every_tool_is_pinned_by_what_is_committed() -> None:
    for tool in tools.TOOLS:
        modules = (tool.manifest / "go.mod").read_text()
        assert (tool.manifest / "go.sum").stat().st_size > 0
        assert all(f"\t{package}\n" in modules or f"tool {package}\n" in modules for package in tool.packages)


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DevClusterError, match=r"'podman'.*helm.*promtool"):
        tools.binary("podman")


def test_without_go_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(DevClusterError, match=r"install Go 1\.26"):
        tools.binary("helm")


OF_NODES = dict.fromkeys(("kubelet", "cadvisor", "node", "node-network", "node-errors", "latency"), 2)


@pytest.mark.parametrize(
    ("up", "seen"),
    [
        ({**OF_NODES, "apiserver": 1, "coredns": 1, "pods": 9}, True),
        ({**OF_NODES, "apiserver": 1, "coredns": 1, "cadvisor": 1}, False),
        ({**OF_NODES, "apiserver": 1, "coredns": 1, "node-errors": 1}, False),
        ({**OF_NODES, "apiserver": 1}, False),
        ({}, False),
    ],
)
def test_prometheus_sees_all_only_with_a_sample_of_each(up: dict[str, int], seen: bool) -> None:
    assert monitoring.all_seen(up, nodes=2) is seen


def test_only_the_first_scrapes_are_hurried() -> None:
    layout, kubeconfig = Layout(name="a", slot=0, nodes=2, state_root=Path("/s")), Path("/k")
    hurried = monitoring.prometheus(layout, kubeconfig, monitoring.FIRST_SCRAPE_INTERVAL)
    usual = monitoring.prometheus(layout, kubeconfig)
    assert hurried["global"]["scrape_interval"] == "1s"
    assert usual["global"]["scrape_interval"] == "5s"
    jobs = hurried["scrape_configs"], usual["scrape_configs"]
    assert {job.get("scrape_interval", "1s") for job in jobs[0]} == {"1s"}
    assert [{key: job[key] for key in job if key != "scrape_interval"} for job in jobs[0]] == [
        {key: job[key] for key in job if key != "scrape_interval"} for job in jobs[1]
    ]


def test_each_series_of_a_node_has_one_interval() -> None:
    configuration = monitoring.prometheus(Layout(name="a", slot=0, nodes=2, state_root=Path("/s")), Path("/k"))
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert {name: jobs[name]["scrape_interval"] for name in exporters.JOBS_OF_NODES} == {
        "node": "15s", "node-network": "5s", "node-errors": "1s", "latency": "5s",
    }  # fmt: skip
    network, errors = (jobs[name] for name in ("node-network", "node-errors"))
    assert network["params"] == errors["params"]
    assert not set(network["params"]["collect[]"]) & set(jobs["node"]["params"]["collect[]"])
    [dropped], [kept] = network["metric_relabel_configs"], errors["metric_relabel_configs"]
    assert (dropped.pop("action"), kept.pop("action")) == ("drop", "keep")
    assert dropped == kept


def test_prometheus_takes_both_configurations(tmp_path: Path) -> None:
    layout = Layout(name="a", slot=0, nodes=2, state_root=tmp_path)
    for interval in (monitoring.FIRST_SCRAPE_INTERVAL, monitoring.SCRAPE_INTERVAL):
        path = tmp_path / "prometheus.yml"
        path.write_text(json.dumps(monitoring.prometheus(layout, Path("/k"), interval)))
        promtool = [tools.binary("promtool"), "check", "config", "--syntax-only", path]
        answer = subprocess.run(promtool, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
