"""The comparison with another client reads both sides alike; neither client runs here."""

from __future__ import annotations

import struct
from typing import Any

import attrs
import pytest
import servers
from serverbed import wire
from serverbed.seen import Asked, Seen, Timed, of_aiperf, of_timed, timed

PORT = 8000
ASKED = Asked("http://127.0.0.1:8000/v1", "tiny", at_once=2, requests=4, prompt_tokens=8, tokens=30, seed=0)
EXPORTED: dict[str, Any] = {
    "benchmark_duration": {"unit": "sec", "avg": 2.0},
    "total_osl": {"unit": "tokens", "avg": 120.0},
    "request_latency": {"unit": "ms", "avg": 400.0, "p50": 390.0},
    "time_to_first_token": {"unit": "ms", "avg": 21.0, "p50": 20.0, "p99": 50.0},
    "inter_token_latency": {"unit": "ms", "avg": 3.4, "p50": 3.0, "p99": 6.0},
    "inter_chunk_latency": {"unit": "ms", "avg": 3.4, "p50": 2.0, "p99": 17.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 61.0},
}


def test_an_export_is_read():
    expected = Seen(ttft=20.0, itl=3.0, itl_p99=6.0, gap_p99=17.0, rate=60.0, throughput=61.0, busy=40.0)
    assert attrs.astuple(of_aiperf(EXPORTED, ASKED)) == pytest.approx(attrs.astuple(expected))


@pytest.mark.parametrize("changed", [{}, {"unit": "ns", "p50": 20e6}, {"unit": "ms", "avg": 21.0}])
def test_a_figure_that_is_missing_or_in_another_unit_is_said(changed: dict[str, Any]):
    with pytest.raises(ValueError, match="expected p50 in ms"):
        of_aiperf(EXPORTED | {"time_to_first_token": changed}, ASKED)


def test_requests_that_were_not_answered_in_full_are_said():
    with pytest.raises(ValueError, match="aiperf saw 120 tokens; expected 150"):
        of_aiperf(EXPORTED, attrs.evolve(ASKED, requests=5))
    with pytest.raises(ValueError, match="1 requests were timed; expected 4"):
        of_timed(Timed([0.1], [0.1], [0.1], [0.1], 1.0), ASKED)


def test_streams_give_the_same_figures():
    found = timed([(0.0, [0.01, 0.02, 0.03]), (0.5, [0.53, 0.57, 0.59])], tokens=3)
    asked = attrs.evolve(ASKED, at_once=1, requests=2, tokens=3)
    seen = of_timed(found, asked)
    assert attrs.astuple(seen) == pytest.approx((20.0, 20.0, 29.8, 39.4, 6 / 0.59, 6 / 0.59, 100 * 0.12 / 0.59))
    assert of_timed(found, asked, throughput=7.0).throughput == 7.0


def test_shares_are_of_the_same_turn():
    slow, fast = (
        of_aiperf(EXPORTED | {"time_to_first_token": {"unit": "ms", "p50": p50}}, ASKED) for p50 in (40.0, 10.0)
    )
    same, other = servers.Side(slow, slow), servers.Side(fast, slow)
    rows = servers.rows_of([servers.Turn(same, other, same), servers.Turn(other, other, other)], at_once=2)
    shares = {name.strip(): values for name, *values, _ in rows[:7]}
    assert shares["perfrun of aiperf, %"] == [62.5, 25.0, 100.0]
    assert shares["perfrun without rounds, of aiperf, %"] == [100.0, 100.0, 100.0]
    assert shares["aiperf of its own wire, %"] == [62.5, 25.0, 100.0]
    assert shares["perfrun of its own wire, %"] == [25.0, 25.0, 25.0]
    assert shares["perfrun's wire of aiperf's wire, %"] == [100.0, 100.0, 100.0]


def frame(source: int, target: int, payload: bytes, options: int = 3) -> bytes:
    network = bytes([0x45, *bytes(8), wire.TCP, *bytes(10)])
    transport = struct.pack("!HH8xBB6x", source, target, (5 + options) << 4, 0) + bytes(4 * options)
    return bytes(wire.ETHERNET_BYTES) + network + transport + payload


def test_frames_are_read():
    text = b'data: {"delta":{"content":"time"}}\n\ndata: {"delta":{"content": "way"}}\n\ndata: {"delta":{"content":""}}'
    assert wire.read(frame(PORT, 4000, text), PORT, 1.5) == wire.Packet(1.5, 4000, asks=False, texts=2)
    asked = b'POST /v1/chat/completions HTTP/1.1\r\n\r\n{"content":"time"}'
    assert wire.read(frame(4000, PORT, asked), PORT, 1.0) == wire.Packet(1.0, 4000, asks=True, texts=0)
    assert wire.read(frame(PORT, 4000, b""), PORT, 1.0) is None
    assert wire.read(frame(PORT + 1, 4000, text), PORT, 1.0) is None


def test_packets_make_streams_by_the_port_of_their_client():
    def packet(at: float, client: int, texts: int = 0) -> wire.Packet:
        return wire.Packet(at, client, asks=not texts, texts=texts)

    mixed = [packet(3.0, 7, 2), packet(1.0, 7), packet(2.0, 8), packet(4.0, 8, 1), packet(5.0, 7), packet(6.0, 7, 1)]
    assert wire.passed([*mixed, packet(7.0, 9)]) == [(1.0, (3.0, 3.0)), (2.0, (4.0,)), (5.0, (6.0,))]
