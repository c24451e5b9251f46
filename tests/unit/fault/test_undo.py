"""Undo finds what is left on a node, takes it away, and says Clean only where that was seen."""

import os
import signal
import time

import pytest

from perfrun_kernels.contract import FaultOrder


def test_a_node_where_nothing_happened_is_clean(node, outside):
    report = node.undo()
    assert (report.state, report.message) == ("Clean", "nothing was found")
    assert "no table of a fault is listed" in report.proof
    assert report.undone_at == pytest.approx(time.time(), abs=5)


def test_it_ends_an_isolation_whose_agent_is_gone(node, outside, order):
    probe = outside.probe("10.9.0.1")
    node.probe("10.9.0.2")
    ordered = order("isolate", seconds=60)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + 0.25)
    agent.kill()
    told = time.time()
    report = node.undo()
    assert (report.state, "dropped packets of up0" in report.message) == ("Clean", True)
    time.sleep(0.2)
    _, first = probe.pause()
    assert told <= first <= told + 5
    assert "perfrun" not in node.rules()


@pytest.mark.parametrize("kind", ["isolate", "freeze"])
def test_it_has_an_agent_at_work_undo_its_fault_first(node, outside, order, kind):
    kubelet = node.ticker("kubelet")
    ordered = order(kind, seconds=60)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + 0.25)
    report = node.undo()
    assert (report.state, report.message) == ("Clean", f"the fault agent {agent.process.pid} was ended")
    assert (agent.report().state, agent.report().reason) == ("Undone", "Stopped")
    assert kubelet.state() != "t"
    assert "perfrun" not in node.rules()


def test_it_ends_an_agent_that_only_waits(node, outside, order):
    agent = node.agent(order("isolate", lead=60))
    assert agent.armed()
    assert node.undo().state == "Clean"
    assert agent.report().reason == "Cancelled"


def test_it_kills_an_agent_that_does_not_listen(node, outside, order):
    ordered = order("isolate", seconds=60)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + 0.25)
    os.kill(agent.process.pid, signal.SIGSTOP)
    report = node.undo()
    assert report.state == "Clean"
    assert "table netdev perfrun-chaos-f1 was removed, which dropped packets of up0" in report.message
    assert agent.process.wait(5) == -signal.SIGKILL


def test_the_tables_of_every_fault_go_and_those_of_others_stay(node, outside):
    for name in ("perfrun-chaos-a", "perfrun-chaos-b", "firewall"):
        node.run("nft", "add", "table", "inet", name)
        node.run("nft", "add", "set", "inet", name, "cut", "{ type ifname; flags timeout; }")
    report = node.undo(fault="a")
    assert report.message.count("was removed") == 2
    assert node.run("nft", "list", "tables") == "table inet firewall\n"


def test_a_process_that_stands_still_for_another_reason_is_left(node, outside):
    kubelet = node.ticker("kubelet")
    os.kill(kubelet.pid, signal.SIGSTOP)
    report = node.undo()
    assert (report.state, report.reason) == ("Left", "StillFrozen")
    assert f"kubelet ({kubelet.pid})" in report.message
    os.kill(kubelet.pid, signal.SIGCONT)
    assert node.undo().state == "Clean"


def test_nodes_do_not_clean_each_other(node, outside, order, make_node):
    ordered = order("isolate", seconds=60)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + 0.25)
    assert make_node().undo().message == "nothing was found"
    assert "up0" in node.rules()
    agent.process.terminate()
    assert agent.report().reason == "Stopped"


@pytest.mark.parametrize("missing", ["net_admin", "sys_ptrace"])
def test_it_says_clean_only_where_it_could_look(node, outside, missing):
    undo = FaultOrder("f1", "run", "node", "undo")
    report = node.agent(undo, "setpriv", f"--bounding-set=-{missing}").report()
    assert (report.state, report.reason) == ("Refused", "MissingCapability")


def test_its_own_capabilities_are_all_that_it_needs(node, outside, order):
    node.ticker("kubelet")
    agent = node.agent(order("isolate", lead=60))
    assert agent.armed()
    only = (
        "setpriv",
        "--bounding-set=-all,+net_admin,+net_raw,+sys_ptrace,+sys_admin,+kill,+dac_override",
        "--no-new-privs",
    )
    assert node.agent(FaultOrder("f1", "run", "node", "undo"), *only).report().state == "Clean"
