"""The agent as its pod starts it, with a program in the place of perfrun-netwatch that says what a recording has."""

import gzip
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from perfrun_kernels.contract import FAULT_ENV, REPORT_PREFIX, RESULT_URL_ENV, FaultOrder, FaultReport, Result
from perfrun_kernels.runner import RESULT_PREFIX
from perfrun_kernels.spike.agent import config
from perfrun_kernels.spike.order import parse
from perfrun_kernels.spike.trace import Clocks

RECORDED = Path(__file__).parent / "recorded" / "tbf.jsonl.gz"
KERNELS = str(Path(__file__).parents[3] / "kernels")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="an agent has root's rights, in a namespace of its own"
)

OWN = ("unshare", "--net")
STAND_IN = """#!/bin/bash
case $1 in
watch) cat >{folder}/config; echo $$ >{folder}/pid
  trap 'echo {end}; exit 0' TERM
  cat {folder}/lines
  {then};;
undo) echo "$@" >>{folder}/undone; echo '{undo}';;
esac
"""
END = {"type": "end", "at_ns": 1, "probes": 5, "answered": 5, "missed": 0, "alarms": 1, "cpu_seconds": 0.1}
CLEAN = {"found": [], "left": [], "busy": []}


class Agent:
    """An agent that was started; ``out`` is what it has printed when it is over."""

    def __init__(self, folder, order, environ, wrapper, space):
        self.folder = folder
        self.process = subprocess.Popen(
            [*space, *wrapper, sys.executable, "-m", "perfrun_kernels.fault"],
            env={
                **os.environ, "PYTHONPATH": KERNELS, FAULT_ENV: order.to_json(),
                "PERFRUN_NETWATCH": f"{folder}/netwatch", "PERFRUN_TERMINATION_LOG": f"{folder}/log", **environ,
            },
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._out = None

    def line(self, prefix):
        if self._out is None:
            self._out, errors = self.process.communicate(timeout=60)
            assert (self.process.returncode, errors) == (0, "")
        return next((each.removeprefix(prefix) for each in self._out.splitlines() if each.startswith(prefix)), None)

    def report(self):
        return FaultReport.from_json(self.line(REPORT_PREFIX))

    def result(self):
        text = self.line(RESULT_PREFIX)
        return None if text is None else Result.from_json(text)


@pytest.fixture
def agent(tmp_path):
    started = []

    def start(
        *more, space=OWN, then="exit 0", undo=CLEAN, drop=(), change=None, wrapper=(), seconds=20.0, environ=None
    ):
        with gzip.open(RECORDED, "rt") as file:
            first, *lines = file.read().splitlines()
        pods = json.loads(first)["pods"]
        lines = [each for each in lines if json.loads(each)["type"] not in drop]
        (tmp_path / "lines").write_text("".join(f"{each}\n" for each in (*lines, *map(json.dumps, more))))
        (tmp_path / "undone").write_text("")
        stand_in = STAND_IN.format(folder=tmp_path, then=then, end=json.dumps(json.dumps(END)), undo=json.dumps(undo))
        (tmp_path / "netwatch").write_text(stand_in)
        (tmp_path / "netwatch").chmod(0o755)
        spike = {
            "probe": {"port": 8080, "path": "/", "interval_ms": 1.0, "deadline_ms": 2.0}, "inject": ["tbf"],
            "rounds": 1, "lasts_ms": 50, "window_s": 30, "container": "", "pods": pods, "stage": "s2-spike",
            "attempt": 1,
        } | (change or {})  # fmt: skip
        now = time.time()
        order = FaultOrder("f1", "team/run", "node1", "spike", now + 2, now + 2 + seconds, spike)
        started.append(Agent(tmp_path, order, environ or {}, wrapper, space))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait(10)


def test_a_watch_ends_with_its_result_and_a_report_that_all_is_undone(agent):
    done = agent(END)
    result, report = done.result(), done.report()
    assert (result.outcome, result.run, result.stage, result.attempt) == ("Completed", "run", "s2-spike", 1)
    assert result.tables["injections"].rows[0][:3] == [3, 0, 1]
    assert (report.state, report.reason) == ("Undone", "")
    assert report.message == "1 spikes were made, 1 seen"
    assert report.injected_at < report.undone_at
    assert "qdisc" in result.facts["injection.0"]
    assert report.proof.startswith("nothing of the watch is left: journals")
    assert (done.folder / "undone").read_text() == "undo --fault f1\n"
    assert json.loads((done.folder / "config").read_text())["fault"] == "f1"


def started(running):
    """Wait until the watch runs; one that ended before has its report."""
    deadline = time.monotonic() + 20
    while not (running.folder / "pid").exists():
        assert running.process.poll() is None, "the agent ended before its watch was started"
        assert time.monotonic() < deadline, "the watch was never started"
        time.sleep(0.02)


def test_told_to_stop_it_ends_the_watch_and_says_so(agent):
    running = agent(then="while :; do sleep 0.05; done")
    started(running)
    time.sleep(2.2)
    running.process.send_signal(signal.SIGTERM)
    result, report = running.result(), running.report()
    assert (result.outcome, result.reason) == ("Failed", "Terminated")
    assert (report.state, report.reason) == ("Undone", "Stopped")
    assert "told to stop" in report.message


def test_told_to_stop_before_its_start_it_has_done_nothing(agent):
    running = agent(then="while :; do sleep 0.05; done", drop=("inject", "undo"))
    started(running)
    running.process.send_signal(signal.SIGTERM)
    assert (running.report().state, running.report().reason) == ("Refused", "Cancelled")


def test_a_watch_that_does_not_end_is_ended_at_the_orders_end(agent):
    report = agent(then="while :; do sleep 0.05; done", seconds=0.5).report()
    assert (report.state, report.reason) == ("Undone", "")


def test_a_watch_that_cannot_begin_is_refused_with_a_result(agent):
    drop = ("ready", "topology", "inject", "undo", "spike", "events", "state", "answer")
    done = agent({"type": "error", "reason": "NoProbe", "message": "none answers"}, then="exit 1", drop=drop)
    assert (done.result().outcome, done.result().reason) == ("Unmeasurable", "NoProbe")
    assert (done.report().state, done.report().reason, done.report().message) == ("Refused", "NoProbe", "none answers")


def test_a_pod_that_dies_in_the_middle_leaves_nothing_to_judge(agent):
    lost = {"type": "lost", "at_ns": 1, "ip": "10.88.0.11", "message": "pod web-1 refuses connections"}
    done = agent(lost, END, drop=("inject", "undo"))
    assert (done.result().outcome, done.result().reason) == ("Unmeasurable", "PodLost")
    assert done.report().state == "Undone"


def test_a_watch_that_breaks_is_a_failure_of_the_run(agent):
    done = agent(then="echo oh no >&2; exit 1")
    assert (done.result().outcome, done.result().reason) == ("Failed", "WatchFailed")
    assert "exit code 1: oh no" in done.result().message
    assert done.report().reason == "WatchFailed"


def test_what_cannot_be_removed_is_left(agent):
    left = {"found": [], "left": [{"kind": "tbf", "where": "vpod1", "message": "busy"}]}
    report = agent(END, undo=left).report()
    assert (report.state, report.reason) == ("Left", "SpikeLeft")
    assert "tbf at vpod1 (busy)" in report.message


@pytest.mark.parametrize(
    ("change", "reason", "sentence"),
    [
        ({"pods": []}, "NoServingPod", "no pod of the Service runs on node node1"),
        ({"pods": [{"uid": "u", "ip": "10.0.0.1", "host_network": True}]}, "HostNetworkOnly", "no network namespace"),
        ({"inject": ["reboot"]}, "BadOrder", "inject is ['reboot']"),
        ({"lasts_ms": 5000}, "BadOrder", "lasts_ms is 5000"),
        ({"more": 1}, "BadOrder", "more is not known"),
    ],
)
def test_an_order_that_cannot_be_carried_out_is_refused(agent, change, reason, sentence):
    done = agent(change=change)
    assert (done.report().state, done.report().reason) == ("Refused", reason)
    assert sentence in done.report().message
    assert not (done.folder / "config").exists()


@pytest.mark.parametrize("missing", ["sys_admin", "sys_ptrace", "net_admin"])
def test_a_right_that_is_missing_is_named(agent, missing):
    report = agent(wrapper=("setpriv", f"--bounding-set=-{missing}")).report()
    assert (report.state, report.reason) == ("Refused", "MissingCapability")
    assert f"CAP_{missing.upper()}" in report.message


def test_without_the_watching_program_it_is_refused(agent):
    report = agent(environ={"PERFRUN_NETWATCH": "/nonexistent"}).report()
    assert (report.state, report.reason) == ("Refused", "MissingNetwatch")


def test_the_watching_program_gets_the_pods_of_the_pod_network_and_its_times():
    pod = {"namespace": "shop", "name": "a", "uid": "u1", "ip": "10.0.0.1", "host_network": False, "containers": []}
    host = pod | {"uid": "u2", "ip": "192.0.2.1", "host_network": True}
    given = {"probe": {"port": 80}, "pods": [pod, host], "stage": "s2-spike", "attempt": 1}
    order = FaultOrder("f1", "team/run", "node1", "spike", 101.0, 103.5, given)
    told = config(order, parse(given), Clocks(7_000_000_000, 0, 100_000_000_000))
    assert [each["ip"] for each in told["pods"]] == ["10.0.0.1"]
    assert (told["begin_ns"], told["end_ns"], told["probe"]) == (8_000_000_000, 10_500_000_000, {"port": 80})


def test_the_result_is_handed_in_before_the_report(agent):
    taken = []

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = agent(END, environ={RESULT_URL_ENV: f"http://127.0.0.1:{server.server_port}/"}, space=())
    assert done.report().state == "Undone"
    server.shutdown()
    server.server_close()
    assert Result.from_json(taken[0].decode()).outcome == "Completed"
    assert done.result() is None
