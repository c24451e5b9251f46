"""The whole network program, as benchmark pods run it: a server, a client, and what either lacks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfrun.measuring import histograms
from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.network import client, main
from perfrun_kernels.program import Task

PACKETS = {"at": 0, "seconds": 0.5, "rate": 1000, "bytes": 64}


def soon(net):
    return time.time() + net.pod_lead


def test_packets_and_throughput_are_measured_each_at_its_time(net):
    start_at = soon(net)
    server = net.pod(net.server, role="server", start_at=start_at, seconds=6)
    pod = net.pod(
        net.client, role="client", start_at=start_at, peer_address=net.server_address, streams=2, packets=PACKETS,
        slices=[{"at": 2, "seconds": 1.9}, {"at": 4, "seconds": 1}],
    )  # fmt: skip
    result = pod.result()
    assert (result.outcome, result.message) == ("Completed", "")
    value = {name: each.value for name, each in result.scalars.items()}
    assert value["sent"] == value["received"] == value["answered"] == 500
    assert 200 < value["timestamped"] == value["marked"] < 300
    assert value["lost"] == value["overflowed"] == value["duplicates"] == value["reordered"] == 0
    assert value["packets.started"] == pytest.approx(start_at, abs=1e-3)
    assert value["cpu.client"] > 0
    assert value["cpu.server"] > 0
    trips = result.series["rtt.kernel"].values
    known = histograms.decode(result.histograms["rtt.kernel"].data, "s", result.histograms["rtt.kernel"].scale)
    assert known.total == len(trips) == value["timestamped"]
    assert known.quantile(1.0) == pytest.approx(max(trips), rel=2e-3)
    rates = result.series["throughput"]
    assert (rates.unit, rates.starts) == ("Gbit/s", [0, 2])
    assert len(rates.values) == 4
    slices = result.tables["slices"]
    rows = [dict(zip(slices.columns, row, strict=True)) for row in slices.rows]
    for row, wanted, own in zip(rows, (2, 4), (rates.values[:2], rates.values[2:]), strict=True):
        assert row["started"] == pytest.approx(start_at + wanted, abs=0.3)
        assert row["gbit"] / row["seconds"] == pytest.approx(sum(own) / 2, rel=0.2)
    assert result.facts["same_kernel"] is True
    assert str(result.facts["iperf3"]).startswith("iperf 3.")
    served = server.result()
    assert (served.outcome, served.scalars["packets.received"].value) == ("Completed", 500)


def test_udp_that_is_blocked_is_told_from_a_missing_server(net):
    net.node.filter("forward", "ip protocol udp drop")
    start_at = soon(net)
    net.pod(net.server, role="server", start_at=start_at, seconds=10)
    asked = {"role": "client", "start_at": start_at, "peer_address": net.server_address, "packets": PACKETS}
    result = net.pod(net.client, **asked).result()
    assert (result.outcome, result.reason) == ("Unmeasurable", "NoUDP")
    assert result.message == (
        f"{net.server_address} port {net.port} answered no packet, though it takes TCP connections: "
        "let network policies and packet filters pass UDP"
    )


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ({"packets": PACKETS}, "port 5201 refuses packets: no server listens there, nor does it take TCP connections"),
        ({"slices": [{"at": 0, "seconds": 1}]}, "port 5202 takes no TCP connections"),
    ],
)
def test_a_missing_server_is_said(net, slots, said):
    asked = {"role": "client", "start_at": time.time() + 1.5, "peer_address": net.server_address, **slots}
    result = net.pod(net.client, **asked).result()
    assert (result.outcome, result.reason) == ("Unmeasurable", "NoPeer")
    assert f"{net.server_address} {said}" in result.message


def test_an_address_without_a_way_is_said(net):
    asked = {"role": "client", "start_at": time.time() + 1.5, "peer_address": "fd00::1", "packets": PACKETS}
    result = net.pod(net.client, **asked).result()
    assert (result.outcome, result.reason) == ("Unmeasurable", "NoPeer")
    assert "there is no way to fd00::1" in result.message


@pytest.mark.parametrize("slots", [{"packets": PACKETS}, {"slices": [{"at": 0, "seconds": 1}]}])
def test_a_late_client_measures_nothing(net, slots):
    asked = {"role": "client", "start_at": time.time() - 5, "peer_address": net.server_address, **slots}
    result = net.pod(net.client, **asked).result()
    assert (result.outcome, result.reason) == ("Unmeasurable", "LateStart")
    assert "raise load.lead in the target" in result.message


@pytest.mark.parametrize("family", ["udp", "tcp"])
def test_a_port_that_is_in_use_is_said(net, family):
    kind, port = ("DGRAM", net.port) if family == "udp" else ("STREAM", net.port + 1)
    code = (
        f"import socket, time; s = socket.socket(socket.AF_INET6, socket.SOCK_{kind}); s.bind(('::', {port})); "
        f"{'s.listen(); ' if family == 'tcp' else ''}print('taken', flush=True); time.sleep(60)"
    )
    holder = net.server.start("python3", "-c", code)
    assert holder.stdout.readline() == "taken\n"
    result = net.pod(net.server, role="server", seconds=5).result()
    assert (result.outcome, result.reason) == ("Unmeasurable", "PortTaken")
    assert f"{family.upper()} port {port} is in use here" in result.message


def test_a_server_that_is_told_to_stop_leaves_nothing_running(net):
    pod = net.pod(net.server, role="server", seconds=30)
    assert pod.process.stderr.readline() == f"serving on UDP port {net.port} and TCP port {net.port + 1}\n"
    running = pod.children()
    assert len(running) == 2
    pod.process.send_signal(signal.SIGTERM)
    result = pod.result()
    assert (result.outcome, result.reason) == ("Failed", "Terminated")
    for process in running:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_server_whose_iperf3_dies_says_so(net):
    pod = net.pod(net.server, role="server", seconds=30)
    pod.process.stderr.readline()
    for process in pod.children():
        if Path(f"/proc/{process}/comm").read_text(encoding="ascii") == "iperf3\n":
            os.kill(process, signal.SIGKILL)
    result = pod.result()
    assert (result.outcome, result.reason) == ("Failed", "IperfFailed")


def test_ipv6_is_measured_as_ipv4_is(net):
    for place, own, way in ((net.client, "fd01::2/64", "fd01::1"), (net.server, "fd02::2/64", "fd02::1")):
        place.run("ip", "addr", "add", own, "dev", "eth0", "nodad")
        net.node.run("ip", "addr", "add", f"{way}/64", "dev", "veth1" if place is net.client else "veth2", "nodad")
        place.run("ip", "-6", "route", "add", "default", "via", way)
    net.node.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    start_at = soon(net)
    net.pod(net.server, role="server", start_at=start_at, seconds=5)
    asked = {"role": "client", "start_at": start_at, "peer_address": "fd02::2", "packets": PACKETS}
    result = net.pod(net.client, **asked).result()
    assert (result.outcome, result.message) == ("Completed", "")
    assert result.scalars["answered"].value == 500
    assert result.scalars["timestamped"].value == result.scalars["marked"].value > 200
    assert (result.facts["address"], result.facts["device"]) == ("fd01::2", "eth0")


def test_all_problems_are_named_at_once():
    with pytest.raises(ParametersError) as raised:
        main.run(Task({"role": "client", "port": 80, "peer_address": "there", "streams": 0, "x": 1}, 10.0, print))
    for part in ("port", "peer_address", "streams", "slices", "start_at", "x"):
        assert f"parameters.{part} is " in str(raised.value)


@pytest.mark.parametrize(
    ("slots", "found"),
    [
        ({"packets": {**PACKETS, "rate": 1e6, "seconds": 2}}, "parameters.packets.rate is '1e+06/s for 2 s'"),
        ({"packets": {**PACKETS, "bytes": 63}}, "parameters.packets.bytes is 63"),
        ({"packets": PACKETS, "slices": [{"at": 0.4, "seconds": 2}]}, "none that begins before 0.5 s"),
        ({"slices": [{"at": 0, "seconds": 0.5}]}, "parameters.slices[0].seconds is 0.5"),
    ],
)
def test_slots_that_cannot_be_are_refused(slots, found):
    with pytest.raises(ParametersError) as raised:
        main.run(Task({"role": "client", "port": 5201, "peer_address": "::1", "start_at": 1, **slots}, 10.0, print))
    assert found in str(raised.value)


def test_more_than_the_budget_is_refused():
    with pytest.raises(ParametersError, match="shorten them or raise the budget"):
        main.run(Task({"role": "server", "port": 5201, "seconds": 100}, 10.0, print))


def test_a_pod_without_iperf3_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    for asked in (
        {"role": "server", "seconds": 1},
        {"role": "client", "peer_address": "::1", "start_at": time.time(), "packets": PACKETS},
    ):
        with pytest.raises(UnmeasurableError, match="iperf3 is not in this image") as raised:
            main.run(Task({"port": 5201, **asked}, 10.0, print))
        assert raised.value.reason == "MissingIperf"


def test_a_slice_begins_at_its_time_or_not_at_all():
    slept = []
    client.wait_until(10.0, lambda: 7.5, slept.append)
    client.wait_until(10.0, lambda: 10.4, slept.append)
    assert slept == [2.5, 0.0]
    with pytest.raises(UnmeasurableError, match=r"0\.6 s before this pod was ready"):
        client.wait_until(10.0, lambda: 10.6, slept.append)


def test_the_command_prints_the_path_of_the_packet_program():
    done = subprocess.run([sys.executable, "-m", "perfrun_kernels.network"], capture_output=True, text=True, check=True)
    assert os.access(done.stdout.strip(), os.X_OK)
