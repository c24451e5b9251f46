"""Isolation with real packets: they stop at the start, and flow again at the end whatever becomes of the agent."""

import itertools
import signal
import sys
import time

import pytest

SLACK = 0.25
"""Seconds that a loaded machine may take to do what takes milliseconds."""

CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])).close()
print("connected")
"""

LISTEN = "import socket, time; s = socket.create_server(('', 7001)); print('listening', flush=True); time.sleep(600)"


def connects(node, address, seconds):
    try:
        return node.run(sys.executable, "-c", CONNECT, address, "7001", str(seconds)) == "connected\n"
    except AssertionError:
        return False


def test_packets_stop_both_ways_at_the_start_and_flow_again_at_the_end(node, outside, order):
    probes = [outside.probe("10.9.0.1"), node.probe("10.9.0.2")]
    ordered = order("isolate")
    agent = node.agent(ordered)
    assert agent.armed()
    report = agent.report()
    time.sleep(0.2)
    for probe in probes:
        last, first = probe.pause()
        assert last == pytest.approx(ordered.starts_at, abs=SLACK)
        assert first == pytest.approx(ordered.ends_at, abs=SLACK)
    assert (report.state, report.reason) == ("Undone", "")
    assert report.injected_at == pytest.approx(ordered.starts_at, abs=SLACK)
    assert report.undone_at == pytest.approx(ordered.ends_at, abs=SLACK)
    assert "the kernel let its elements expire" in report.proof
    assert "perfrun" not in node.rules()


def test_nothing_stops_before_the_start(node, outside, order):
    probe = outside.probe("10.9.0.1")
    node.probe("10.9.0.2")
    ordered = order("isolate", lead=1.5)
    agent = node.agent(ordered)
    assert agent.armed()
    agent.report()
    before = [moment for moment in probe.stop() if moment < ordered.starts_at]
    assert max(later - earlier for earlier, later in itertools.pairwise(before)) < 0.5


def test_no_connection_is_made_while_it_lasts(node, outside, order):
    listening = node.start(sys.executable, "-c", LISTEN)
    assert listening.stdout.readline() == "listening\n"
    assert connects(outside, "10.9.0.1", 5)
    ordered = order("isolate", seconds=2.5)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + SLACK)
    assert not connects(outside, "10.9.0.1", 0.8)
    assert time.time() < ordered.ends_at
    # The node itself, and what runs on it, still reach each other.
    assert connects(node, "10.9.0.1", 5)
    assert agent.report().state == "Undone"
    assert connects(outside, "10.9.0.1", 5)


def test_what_pods_send_through_the_node_stops_and_what_they_send_to_it_does_not(node, outside, order, make_node):
    pod = make_node()
    node.join(pod, "veth1", "10.8.0.1/24", "eth0", "10.8.0.2/24")
    pod.run("ip", "route", "add", "default", "via", "10.8.0.1")
    outside.run("ip", "route", "add", "10.8.0.0/24", "via", "10.9.0.1")
    node.run("sysctl", "-q", "net.ipv4.ip_forward=1")
    listening = node.start(sys.executable, "-c", LISTEN)
    assert listening.stdout.readline() == "listening\n"
    probes = [pod.probe("10.9.0.2"), outside.probe("10.8.0.2")]
    ordered = order("isolate", seconds=1.5)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + SLACK)
    assert connects(pod, "10.8.0.1", 5)
    assert agent.report().state == "Undone"
    time.sleep(0.2)
    for probe in probes:
        last, first = probe.pause()
        assert last == pytest.approx(ordered.starts_at, abs=SLACK)
        assert first == pytest.approx(ordered.ends_at, abs=SLACK)


def test_the_kernel_ends_it_when_the_agent_is_killed(node, outside, order):
    probes = [outside.probe("10.9.0.1"), node.probe("10.9.0.2")]
    ordered = order("isolate", seconds=1.5)
    agent = node.agent(ordered)
    assert agent.armed()
    time.sleep(max(0, ordered.starts_at - time.time()) + SLACK)
    agent.kill()
    assert "up0" in node.rules()
    time.sleep(max(0, ordered.ends_at - time.time()) + SLACK)
    for probe in probes:
        last, first = probe.pause()
        assert last == pytest.approx(ordered.starts_at, abs=SLACK)
        assert first == pytest.approx(ordered.ends_at, abs=SLACK)
    # What is left drops nothing, and undo takes it away.
    assert "up0" in node.rules()
    clean = node.undo()
    assert clean.state == "Clean"
    assert "was removed, which dropped packets of no interface" in clean.message
    assert "perfrun" not in node.rules()


def test_an_agent_that_is_killed_before_the_start_does_nothing(node, outside, order):
    probes = [outside.probe("10.9.0.1"), node.probe("10.9.0.2")]
    ordered = order("isolate")
    agent = node.agent(ordered)
    assert agent.armed()
    agent.kill()
    time.sleep(max(0, ordered.ends_at - time.time()) + SLACK)
    for probe in probes:
        last, first = probe.pause()
        assert first - last < 0.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_that_is_told_to_stop_undoes_it_at_once(node, outside, order, number):
    probe = outside.probe("10.9.0.1")
    node.probe("10.9.0.2")
    ordered = order("isolate", seconds=30)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + SLACK)
    told = time.time()
    agent.process.send_signal(number)
    report = agent.report()
    time.sleep(0.2)
    _, first = probe.pause()
    assert first == pytest.approx(told, abs=0.5)
    assert (report.state, report.reason) == ("Undone", "Stopped")
    assert report.undone_at == pytest.approx(told, abs=0.5)
    assert "perfrun" not in node.rules()


def test_an_agent_that_is_told_to_stop_before_the_start_refuses(node, outside, order):
    agent = node.agent(order("isolate", lead=20))
    assert agent.armed()
    agent.process.send_signal(signal.SIGTERM)
    report = agent.report()
    assert (report.state, report.reason, report.injected_at) == ("Refused", "Cancelled", None)
    assert "perfrun" not in node.rules()


@pytest.mark.parametrize("lead", [-0.5, -1000])
def test_a_late_order_is_refused(node, outside, order, lead):
    report = node.agent(order("isolate", lead=lead)).report()
    assert (report.state, report.reason) == ("Refused", "Late")
    assert "perfrun" not in node.rules()


def test_an_agent_that_misses_the_start_refuses(node, outside, order):
    ordered = order("isolate", seconds=30)
    agent = node.agent(ordered)
    assert agent.armed()
    agent.process.send_signal(signal.SIGSTOP)
    time.sleep(max(0, ordered.starts_at - time.time()) + 0.5)
    agent.process.send_signal(signal.SIGCONT)
    report = agent.report()
    assert (report.state, report.reason) == ("Refused", "Late")
    assert "perfrun" not in node.rules()


def test_a_second_agent_is_refused_while_one_is_at_work(node, outside, order):
    first = node.agent(order("isolate", seconds=2))
    assert first.armed()
    second = node.agent(order("isolate", lead=0.7))
    assert (second.report().reason, second.report().state) == ("AnotherAgent", "Refused")
    assert first.report().state == "Undone"


def test_an_agent_waits_for_one_that_is_just_ending(node, outside, order):
    first = node.agent(order("isolate", lead=20))
    assert first.armed()
    ordered = order("isolate", seconds=0.2, lead=2)
    first.process.send_signal(signal.SIGTERM)
    second = node.agent(ordered)
    assert second.armed()
    assert (first.report().state, second.report().state) == ("Refused", "Undone")


def test_an_agent_is_refused_while_what_a_dead_one_left_still_cuts_the_node_off(node, outside, order):
    ordered = order("isolate", seconds=30)
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + SLACK)
    agent.kill()
    report = node.agent(order("isolate", fault="f2")).report()
    assert (report.state, report.reason) == ("Refused", "FaultUnderWay")
    assert node.undo().message == "table netdev perfrun-chaos-f1 was removed, which dropped packets of up0"


def test_a_table_that_someone_else_removed_is_said_so(node, outside, order):
    ordered = order("isolate")
    agent = node.agent(ordered)
    time.sleep(max(0, ordered.starts_at - time.time()) + SLACK)
    node.run("nft", "delete", "table", "netdev", "perfrun-chaos-f1")
    report = agent.report()
    assert (report.state, report.reason) == ("Undone", "Overdue")
    assert "removed by someone else" in report.message


def test_a_node_without_uplinks_is_refused(node, order):
    report = node.agent(order("isolate")).report()
    assert (report.state, report.reason) == ("Refused", "NoUplink")


def test_without_its_capability_it_refuses_and_names_it(node, outside, order):
    report = node.agent(order("isolate"), "setpriv", "--bounding-set=-net_admin").report()
    assert (report.state, report.reason) == ("Refused", "MissingCapability")
    assert "CAP_NET_ADMIN" in report.message


def test_its_own_capability_is_all_that_it_needs(node, outside, order):
    only = ("setpriv", "--bounding-set=-all,+net_admin", "--no-new-privs")
    assert node.agent(order("isolate", seconds=0.2), *only).report().state == "Undone"
