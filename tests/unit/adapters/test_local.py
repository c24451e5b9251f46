"""Benchmarks as processes: however one ends, the decisions see what a pod would show, and nothing is left running."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
import time
from pathlib import Path

import pytest
from foretold import kept

from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.adapters.clock import SystemClock
from perfrun.adapters.local import LocalCluster
from perfrun.api.plan import Stage
from perfrun.api.run import RunSpec, RunStatus
from perfrun.api.service import Workload
from perfrun.api.target import TargetSpec, TargetStatus
from perfrun.lifecycle.values import Cordon, Keep, Key, Meta, Missing, Run, StartPod, Target
from perfrun.ports import Conflict, Unavailable, result_path

RUN = Run(Meta("r", "local", "uid"), RunSpec(feature="x", target_ref="t"), RunStatus())
RESULT = 'print(\'perfrun-result: {"some": "json"}\')'


def cluster(tmp_path: Path, program: str) -> LocalCluster:
    target = Target(Meta("t", "local", "t"), TargetSpec(), TargetStatus())
    artifacts = FsspecArtifacts(tmp_path.as_uri())
    return LocalCluster(RUN, target, artifacts, SystemClock(), command=(sys.executable, "-c", program))


def start(name="p", attempt=1, timeout=60.0):
    return StartPod(name, Stage(id="s", scenario=0, kind="pod", program="sampling", timeout=timeout), attempt)


async def ended(cluster: LocalCluster, name="p"):
    while True:
        cluster.changed.clear()
        view = (await cluster.pods_of(RUN)).get(name)
        if view is None or view.phase in ("Succeeded", "Failed"):
            return view
        await cluster.changed.wait()


def alive(marker: str) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and marker in (process / "environ").read_bytes().decode(errors="replace"):
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                found += [] if state == "Z" else [process.name]
        except OSError:
            continue
    return [pid for pid in found if int(pid) != os.getpid()]


async def test_a_result_is_stored_before_the_process_counts_as_ended(tmp_path):
    local = cluster(tmp_path, f"print('noise'); {RESULT}")
    await local.start_pod(RUN, start())
    view = await ended(local)
    assert (view.phase, view.exit_code, view.reason) == ("Succeeded", 0, "")
    stored = await FsspecArtifacts(tmp_path.as_uri()).get(result_path("uid", "s", 1))
    assert stored is not None
    assert stored[1] == b'{"some": "json"}'


async def test_starting_twice_is_starting_once(tmp_path):
    local = cluster(tmp_path, f"open({str(tmp_path / 'log')!r}, 'a').write('x')")
    await local.start_pod(RUN, start())
    await local.start_pod(RUN, start())
    await ended(local)
    assert (tmp_path / "log").read_text() == "x"


@pytest.mark.parametrize(
    ("program", "phase", "reason", "code", "said"),
    [
        ("print('nonsense')", "Succeeded", "", 0, ""),
        ("import sys; sys.stderr.write('broken\\n'); sys.exit(7)", "Failed", "Error", 7, "broken"),
        ("import os; os.kill(os.getpid(), 9)", "Failed", "Error", 137, ""),
        ("import sys; sys.stderr.buffer.write(b'\\xff' * 100000); sys.exit(1)", "Failed", "Error", 1, "�"),
        ("print('x' * 1000000)", "Succeeded", "", 0, ""),
    ],
)
async def test_each_end_shows_what_a_pod_would_show(tmp_path, program, phase, reason, code, said):
    local = cluster(tmp_path, program)
    await local.start_pod(RUN, start())
    view = await ended(local)
    assert (view.phase, view.reason, view.exit_code) == (phase, reason, code)
    assert said in view.message
    assert view.started is not None
    assert view.finished is not None
    assert await FsspecArtifacts(tmp_path.as_uri()).get(result_path("uid", "s", 1)) is None


async def test_a_program_that_is_not_there_fails_with_its_name(tmp_path):
    local = cluster(tmp_path, "")
    local._command = ("/nowhere/benchmark",)
    await local.start_pod(RUN, start())
    view = await ended(local)
    assert view.phase == "Failed"
    assert "/nowhere/benchmark cannot be started: No such file" in view.message


async def test_a_hanging_process_is_ended_with_all_its_descendants(tmp_path, monkeypatch):
    monkeypatch.setenv("PERFRUN_TEST_MARKER", f"hang-{tmp_path}")
    local = cluster(tmp_path, "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)")
    await local.start_pod(RUN, start(timeout=0.5))
    view = await ended(local)
    assert (view.phase, view.reason) == ("Failed", "DeadlineExceeded")
    assert alive(f"hang-{tmp_path}") == []


async def test_stopping_ends_even_what_ignores_the_order(tmp_path, monkeypatch):
    monkeypatch.setenv("PERFRUN_TEST_MARKER", f"stop-{tmp_path}")
    monkeypatch.setattr("perfrun.adapters.local_process.GRACE_SECONDS", 0.3)
    ready = tmp_path / "ready"
    program = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w'); time.sleep(600)"
    local = cluster(tmp_path, program)
    await local.start_pod(RUN, start())
    while not ready.exists():
        await asyncio.to_thread(time.sleep, 0.01)
    await local.stop_pod(RUN, "p")
    await local.stop_pod(RUN, "not-there")
    while await local.pods_of(RUN):
        await local.changed.wait()
        local.changed.clear()
    assert alive(f"stop-{tmp_path}") == []


async def test_closing_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PERFRUN_TEST_MARKER", f"close-{tmp_path}")
    local = cluster(tmp_path, "import time; time.sleep(600)")
    await local.start_pod(RUN, start("a"))
    await local.start_pod(RUN, start("b"))
    await local.close()
    assert alive(f"close-{tmp_path}") == []


async def test_a_status_that_was_overtaken_by_a_cancellation_is_refused(tmp_path):
    local = cluster(tmp_path, "")
    local.cancel()
    with pytest.raises(Conflict):
        await local.save_run(RUN, RunStatus(message="late"))
    assert local.current.spec.cancel
    read = await local.run(Key("PerfRun", "local", "r"))
    assert read is not None
    saved = await local.save_run(read, RunStatus(message="in time"))
    assert local.current == saved


async def test_views_carry_times_in_order(tmp_path):
    local = cluster(tmp_path, "")
    await local.start_pod(RUN, start())
    view = await ended(local)
    assert view.created <= view.started <= view.finished <= dt.datetime.now(dt.UTC)


async def test_what_needs_a_cluster_is_denied_in_a_sentence_and_nothing_is_pretended(tmp_path):
    local = cluster(tmp_path, "")
    assert "load and faults need a cluster" in await local.denied(RUN)
    for found in (await local.serving("ns", "web"), await local.workload("ns", Workload(name="web"))):
        assert isinstance(found, Missing)
        assert "apply it as a PerfRun" in found.message
    assert (await local.served_ids(RUN, start().stage, SystemClock().now())).gaps
    with pytest.raises(Unavailable, match="Cordon needs a cluster"):
        await local.change(RUN, Cordon("n"))


async def test_without_a_cluster_no_forecast_is_kept_and_that_is_said(tmp_path):
    here = cluster(tmp_path, "")
    spec = kept().spec
    assert "only an operator scores forecasts" in await here.keep(RUN, Keep("throughput", spec))
    assert await here.forecasts_of("local", "t") == ()
