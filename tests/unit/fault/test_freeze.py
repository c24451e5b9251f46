"""Freezing with real processes: they stand still at the start, and run again whatever becomes of the agent."""

import os
import signal
import time
from pathlib import Path

import pytest

SLACK = 0.25
"""Seconds that a loaded machine may take to do what takes milliseconds."""


def until(moment):
    time.sleep(max(0, moment - time.time()))


def stood_still(ticker, begin, end):
    for last, first in ticker.pauses():
        assert last == pytest.approx(begin, abs=SLACK)
        assert first == pytest.approx(end, abs=SLACK)


def test_kubelet_and_runtime_stand_still_and_run_again(node, order):
    tickers = [node.ticker("kubelet"), node.ticker("containerd")]
    ordered = order("freeze")
    agent = node.agent(ordered)
    assert agent.armed()
    report = agent.report()
    time.sleep(0.2)
    for ticker in tickers:
        stood_still(ticker, ordered.starts_at, ordered.ends_at)
    assert (report.state, report.reason) == ("Undone", "")
    assert report.injected_at == pytest.approx(ordered.starts_at, abs=SLACK)
    assert report.undone_at == pytest.approx(ordered.ends_at, abs=SLACK)
    assert report.proof.startswith("6 threads stood still; none is stopped any more")
    assert all(f"({ticker.pid})" in report.proof for ticker in tickers)


def test_others_go_on(node, order, make_node):
    frozen = node.ticker("kubelet")
    others = [node.ticker("containerd-shim"), node.ticker("nginx"), make_node().ticker("kubelet")]
    ordered = order("freeze")
    assert node.agent(ordered).report().state == "Undone"
    stood_still(frozen, ordered.starts_at, ordered.ends_at)
    for other in others:
        assert all(first - last < 0.5 for last, first in other.pauses())


def test_they_run_again_when_the_agent_is_killed(node, order):
    ticker = node.ticker("kubelet")
    ordered = order("freeze", seconds=30)
    agent = node.agent(ordered)
    until(ordered.starts_at + SLACK)
    assert ticker.state() == "t"
    killed = time.time()
    agent.kill()
    time.sleep(0.3)
    stood_still(ticker, ordered.starts_at, killed)
    clean = node.undo()
    assert (clean.state, clean.message) == ("Clean", "nothing was found")
    assert f"kubelet ({ticker.pid}) run" in clean.proof


def test_they_run_again_when_the_tracing_process_alone_is_killed(node, order):
    ticker = node.ticker("kubelet")
    ordered = order("freeze", seconds=30)
    agent = node.agent(ordered)
    until(ordered.starts_at + SLACK)
    killed = time.time()
    os.kill(tracing_process(agent), signal.SIGKILL)
    report = agent.report()
    time.sleep(0.2)
    stood_still(ticker, ordered.starts_at, killed)
    assert (report.state, report.reason) == ("Undone", "Stopped")
    assert "ended by someone else" in report.message


def test_the_kernel_ends_it_when_the_agent_itself_stands_still(node, order):
    ticker = node.ticker("kubelet")
    ordered = order("freeze")
    agent = node.agent(ordered)
    assert agent.armed()
    until(ordered.starts_at + SLACK)
    os.kill(agent.process.pid, signal.SIGSTOP)
    until(ordered.ends_at + 0.3)
    stood_still(ticker, ordered.starts_at, ordered.ends_at)
    os.kill(agent.process.pid, signal.SIGCONT)
    report = agent.report()
    assert (report.state, report.message) == ("Undone", "")


def test_an_agent_that_is_killed_before_the_start_does_nothing(node, order):
    ticker = node.ticker("kubelet")
    ordered = order("freeze")
    agent = node.agent(ordered)
    assert agent.armed()
    agent.kill()
    until(ordered.starts_at + 0.3)
    assert all(first - last < 0.5 for last, first in ticker.pauses())


def test_an_agent_that_is_told_to_stop_lets_them_go_at_once(node, order):
    ticker = node.ticker("containerd")
    ordered = order("freeze", seconds=30)
    agent = node.agent(ordered)
    until(ordered.starts_at + SLACK)
    told = time.time()
    agent.process.terminate()
    report = agent.report()
    time.sleep(0.2)
    stood_still(ticker, ordered.starts_at, told)
    assert (report.state, report.reason) == ("Undone", "Stopped")
    assert report.undone_at == pytest.approx(told, abs=0.5)


def test_what_a_supervisor_starts_meanwhile_is_frozen_too(node, order):
    node.ticker("containerd")
    ordered = order("freeze", seconds=2)
    agent = node.agent(ordered)
    until(ordered.starts_at + SLACK)
    # It may be stopped before it says that it is there.
    late = node.ticker("kubelet", wait=False)
    until(ordered.ends_at - 0.5)
    assert late.state() == "t"
    report = agent.report()
    assert (report.state, report.message) == ("Undone", "")
    assert late.state() != "t"


def test_what_does_not_run_again_is_left(node, order):
    ticker = node.ticker("kubelet")
    ordered = order("freeze", seconds=0.5)
    agent = node.agent(ordered)
    until(ordered.starts_at + SLACK)
    # Somebody else stops it too, and that outlasts the fault.
    os.kill(ticker.pid, signal.SIGSTOP)
    report = agent.report()
    assert (report.state, report.reason) == ("Left", "StillFrozen")
    assert f"kubelet ({ticker.pid}) did not run" in report.message


def test_what_dies_while_it_is_frozen_is_no_obstacle(node, order):
    tickers = [node.ticker("kubelet"), node.ticker("containerd")]
    ordered = order("freeze")
    agent = node.agent(ordered)
    until(ordered.starts_at + SLACK)
    tickers[0].process.kill()
    tickers[0].process.wait(10)
    report = agent.report()
    assert report.state == "Undone"
    assert "1 ended meanwhile" in report.proof


def test_a_node_with_nothing_to_freeze_is_refused(node, order):
    node.ticker("nginx")
    report = node.agent(order("freeze")).report()
    assert (report.state, report.reason) == ("Refused", "NothingToFreeze")


def test_a_late_order_is_refused(node, order):
    ticker = node.ticker("kubelet")
    report = node.agent(order("freeze", lead=-1)).report()
    assert (report.state, report.reason) == ("Refused", "Late")
    assert all(first - last < 0.5 for last, first in ticker.pauses())


def test_a_second_agent_is_refused_while_one_is_at_work(node, order):
    node.ticker("kubelet")
    first = node.agent(order("freeze", seconds=2))
    assert first.armed()
    second = node.agent(order("freeze", lead=0.7)).report()
    assert (second.state, second.reason) == ("Refused", "AnotherAgent")
    assert str(first.process.pid) in second.message
    assert first.report().state == "Undone"


def test_without_its_capability_it_refuses_and_names_it(node, order):
    node.ticker("kubelet")
    report = node.agent(order("freeze"), "setpriv", "--bounding-set=-sys_ptrace").report()
    assert (report.state, report.reason) == ("Refused", "MissingCapability")
    assert "CAP_SYS_PTRACE" in report.message


def test_its_own_capability_is_all_that_it_needs(node, order):
    node.ticker("kubelet")
    only = ("setpriv", "--bounding-set=-all,+sys_ptrace", "--no-new-privs")
    assert node.agent(order("freeze", seconds=0.3), *only).report().state == "Undone"


def tracing_process(agent):
    [child] = Path(f"/proc/{agent.process.pid}/task/{agent.process.pid}/children").read_text(encoding="ascii").split()
    return int(child)
