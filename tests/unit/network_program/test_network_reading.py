"""What the network program makes of what iperf3 and the packet program say."""

import json
import stat

import pytest

from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError
from perfrun_kernels.network import client, iperf, netpath
from perfrun_kernels.network.parameters import Packets

BUSY = {"error": "the server is busy running a test. try again later"}


def interval(seconds, gbit):
    return {"sum": {"seconds": seconds, "bits_per_second": gbit * 1e9}}


def told(**changed):
    """Return a report as iperf3 writes it, as far as it is read: 2 s, 20 Gbit sent and 18 received."""
    end = {
        "sum_sent": {"seconds": 2.0, "bytes": 2.5e9, "retransmits": 7},
        "sum_received": {"seconds": 2.0, "bytes": 2.25e9},
        "cpu_utilization_percent": {"host_total": 90.0, "remote_total": 45.0},
        "sender_tcp_congestion": "bbr",
    }
    intervals = [interval(0.5, 8), interval(0.5, 10), interval(0.5, 9), interval(0.5, 9), interval(0.02, 50)]
    return {"end": end, "server_output_json": {"intervals": intervals}, **changed}


@pytest.fixture
def program(tmp_path):
    """Make a program that writes one report after the other, then the last one again."""

    def make(*reports):
        for number, report in enumerate(reports):
            (tmp_path / f"{number}.json").write_text(json.dumps(report))
        script = tmp_path / "iperf3"
        script.write_text(
            f"#!/bin/sh\ncd {tmp_path}\nn=$(cat n 2>/dev/null || echo 0)\n[ -e $n.json ] || n=$((n - 1))\n"
            "cat $n.json\necho $((n + 1)) >n\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return str(script)

    return make


def test_the_receivers_rates_count_without_the_rest_of_an_interval():
    found = iperf.read(told(), 5.0)
    assert found.rates == (8, 10, 9, 9)
    assert (found.started, found.seconds, found.gbit, found.retransmits) == (5.0, 2.0, 18.0, 7.0)
    assert (found.cpu_client, found.cpu_server) == (1.8, 0.9)


def test_slices_are_put_together_by_what_was_received():
    both = client.throughput([iperf.read(told(), 5.0), iperf.read(told(), 9.0)])
    assert both.series["throughput"].starts == [0, 4]
    assert both.scalars["retransmits"].value == 14
    assert both.scalars["cpu.client"].value == pytest.approx(0.1)
    assert both.scalars["cpu.server"].value == pytest.approx(0.05)
    assert [row[0] for row in both.tables["slices"].rows] == [5.0, 9.0]
    assert both.facts == {"congestion": "bbr"}


def test_what_is_not_counted_is_said_to_be_unknown():
    report = told()
    del report["end"]["sum_sent"]["retransmits"]
    report["end"]["sum_received"]["bytes"] = 0
    scalars = client.throughput([iperf.read(report, 5.0)]).scalars
    assert (scalars["retransmits"].value, scalars["cpu.client"].value) == (None, None)
    assert scalars["retransmits"].reason == "this kernel does not count retransmits of a connection"


def test_a_server_that_is_busy_is_asked_again(program):
    found = iperf.measure(program(BUSY, told()), "::1", 5202, 2, 4)
    assert found.gbit == 18.0


def test_a_server_that_stays_busy_is_said(program, monkeypatch):
    monkeypatch.setattr(iperf, "BUSY_SECONDS", 0.1)
    with pytest.raises(BrokenMeasurementError, match="the server is busy running a test") as raised:
        iperf.measure(program(BUSY), "::1", 5202, 2, 4)
    assert raised.value.reason == "IperfFailed"


def test_a_report_without_the_servers_side_is_refused(program):
    report = told()
    del report["server_output_json"]
    with pytest.raises(BrokenMeasurementError, match=r"lacks 'server_output_json': use iperf3 3\.9 or newer"):
        iperf.measure(program(report), "::1", 5202, 2, 4)


def test_iperf3_without_a_report_is_said():
    with pytest.raises(BrokenMeasurementError, match="no report: it said nothing"):
        iperf.measure("true", "::1", 5202, 2, 4)


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (1, BrokenMeasurementError, "NetpathFailed"),
        (3, UnmeasurableError, "LateStart"),
        (5, UnmeasurableError, "NoTimestamps"),
        (6, BrokenMeasurementError, "PeerLost"),
        (7, UnmeasurableError, "PortTaken"),
    ],
)
def test_each_exit_code_of_the_packet_program_has_its_reason(code, kind, reason):
    found = netpath.failure(code, "listening\nperfrun-netpath: this is: why\n")
    assert isinstance(found, kind)
    assert found.reason == reason
    assert str(found).startswith("this is: why")


def test_overflows_that_were_no_requests_are_no_gain():
    counted = {"received": 98, "duplicates": 0, "reordered": 0, "overflowed": 5}
    report = {
        "server": counted, "scheduled": 100, "sent": 100, "refused": 0, "unsent": 0, "answered": 98, "rate": 100.0,
        "answers_overflowed": 0, "round_trips": [6409], "marked": 1, "started_at": 1.0, "finished_at": 2.0,
        "address": "::1", "device": "lo", "mtu": 1500, "same_kernel": True, "histograms": {},
    }  # fmt: skip
    part = client.packets(report, Packets(0.0, 1.0, 100.0, 64))
    assert (part.scalars["overflowed"].value, part.scalars["lost"].value) == (2, 0)
    assert part.series["rtt.kernel"].values == [6.409e-06]
