"""The packet program on a real way between two network namespaces: what it counts, and what it takes for the kernel."""

import re
import signal
import time

import pytest

from perfrun.measuring import histograms

MILLISECONDS = 1e3


def quantile(report, name, at):
    """Return a quantile of one of a report's distributions in milliseconds."""
    return histograms.decode(report["histograms"][name], "ms", 1e-6).quantile(at)


def test_every_packet_is_counted_and_timed_by_both_kernels(net, report_of):
    net.serve()
    report = report_of(net.send(rate=1000, seconds=0.5))
    assert (report["scheduled"], report["sent"], report["refused"], report["unsent"]) == (500, 500, 0, 0)
    assert report["server"] == {"received": 500, "duplicates": 0, "reordered": 0, "overflowed": 0}
    assert report["answered"] == 500
    # The rest are plain, so that the programs' round trip is without what the stamps take.
    assert 200 < len(report["round_trips"]) == report["marked"] < 300
    assert min(report["round_trips"]) > 0
    assert (report["address"], report["device"], report["mtu"]) == (net.client_address, "eth0", 1500)
    assert report["same_kernel"] is True
    assert quantile(report, "rtt.kernel", 0.5) < quantile(report, "rtt.application", 0.5)


def test_lost_packets_are_counted_exactly(net, report_of):
    net.node.filter("forward", f"{net.requests} numgen inc mod 100 0 counter drop")
    net.serve()
    report = report_of(net.send(rate=4000, seconds=0.5))
    dropped = int(re.search(r"counter packets (\d+)", net.node.run("nft", "list", "ruleset"))[1])
    assert dropped == 20
    assert report["sent"] - report["server"]["received"] == dropped
    assert report["server"]["overflowed"] == 0
    assert report["answered"] == report["sent"] - dropped
    assert report["marked"] - dropped <= len(report["round_trips"]) < report["marked"]


def test_lost_answers_are_no_lost_packets_and_cost_no_times_of_others(net, report_of):
    net.node.filter("forward", f"ip protocol udp udp sport {net.port} @th,96,8 2 numgen inc mod 100 0 drop")
    net.serve()
    report = report_of(net.send(rate=4000, seconds=0.5))
    assert report["server"]["received"] == report["sent"] == 2000
    assert report["answered"] == 1980
    assert report["marked"] - 20 <= len(report["round_trips"]) < report["marked"]


def test_a_token_bucket_shows_in_the_kernel_and_in_the_queue(net, report_of):
    net.client.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "1600", "limit", "1mb")
    net.serve()
    # 106 bytes of each are 1.27 Mbit/s: a third of the half second's packets have to wait.
    report = report_of(net.send(rate=1500, seconds=0.5))
    assert report["server"]["received"] == report["sent"] == 750
    assert quantile(report, "rtt.kernel", 0.99) > 50
    assert quantile(report, "qdisc.client", 0.99) > 0.9 * quantile(report, "rtt.kernel", 0.99)
    assert quantile(report, "server", 0.5) < 20


def test_a_token_bucket_on_the_node_is_in_the_kernels_time_and_in_no_pods_queue(net, report_of):
    net.node.run("tc", "qdisc", "add", "dev", "veth2", "root", "tbf", "rate", "1mbit", "burst", "1600", "limit", "1mb")
    net.serve()
    report = report_of(net.send(rate=1500, seconds=0.5))
    assert quantile(report, "rtt.kernel", 0.99) > 50
    assert quantile(report, "qdisc.client", 0.99) < 25


def test_a_server_that_pauses_shows_in_the_application_and_not_in_the_kernel(net, report_of):
    server = net.serve()
    sender = net.send(rate=1000, seconds=0.8)
    time.sleep(net.lead + 0.2)
    server.send_signal(signal.SIGSTOP)
    time.sleep(0.3)
    server.send_signal(signal.SIGCONT)
    report = report_of(sender)
    assert report["server"]["received"] == report["answered"] == 800
    assert quantile(report, "rtt.application", 0.9) > 100
    assert quantile(report, "server", 0.9) > 100
    assert quantile(report, "rtt.kernel", 0.9) < 20


def test_what_a_full_socket_drops_has_arrived(net, report_of):
    server = net.serve()
    sender = net.send(rate=60_000, seconds=0.8)
    time.sleep(net.lead + 0.1)
    server.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    server.send_signal(signal.SIGCONT)
    report = report_of(sender)
    assert report["server"]["overflowed"] > 0
    assert report["sent"] == report["server"]["received"] + report["server"]["overflowed"]


def test_packets_that_come_twice_or_late_are_told_apart(net, report_of):
    net.serve()
    net.relay()
    report = report_of(net.send(rate=1000, seconds=0.5, address=net.relay_address, port=net.relay_port))
    assert report["server"] == {"received": 500, "duplicates": 5, "reordered": 5, "overflowed": 0}
    assert report["answered"] == 500


def test_packets_that_the_pods_own_filter_refuses_were_not_sent(net, report_of):
    net.client.filter("output", f"{net.requests} numgen inc mod 10 0 drop")
    net.serve()
    report = report_of(net.send(rate=1000, seconds=0.5))
    assert (report["scheduled"], report["sent"], report["refused"]) == (500, 450, 50)
    assert report["server"]["received"] == 450
    assert len(report["round_trips"]) == report["marked"]


@pytest.mark.parametrize("size", [64, 1400])
def test_the_size_of_packets_is_what_was_asked(net, report_of, size):
    net.node.filter("forward", f"{net.requests} udp length {size + 8} counter")
    net.serve()
    report_of(net.send(rate=1000, seconds=0.1, size=size))
    assert "counter packets 100 " in net.node.run("nft", "list", "ruleset")


def test_nobody_there_is_said_before_anything_counts(net):
    told, errors = (sender := net.send(rate=1000, seconds=5)).communicate(timeout=10)
    assert (sender.returncode, told) == (4, "")
    assert errors == f"perfrun-netpath: {net.server_address} port {net.port} refuses packets: no server listens there\n"


def test_a_server_that_dies_in_the_middle_is_said(net):
    server = net.serve()
    sender = net.send(rate=1000, seconds=0.6)
    time.sleep(net.lead + 0.2)
    server.kill()
    _, errors = sender.communicate(timeout=10)
    assert sender.returncode == 6
    assert "does not say how many it received" in errors


def test_a_server_that_is_told_to_stop_reports(net, report_of):
    server = net.serve()
    report_of(net.send(rate=1000, seconds=0.1))
    server.terminate()
    assert report_of(server) == {"received": 100, "sessions": 1}
