"""Streams that perfrun-netwatch recorded while spikes were made, replayed: what was made is the answer.

Each file is what it wrote around one injection into a pod of a test bed (nginx, two pods), behind a line with the order
and the processes that listened. ``natural`` is a spike that nobody made; in ``elsewhere`` another container of the pods
was held up, which no probe shows.
"""

import base64
import gzip
import json
import xml.dom.minidom
from pathlib import Path

import attrs
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos

from perfrun_kernels.contract import SPIKE_TRUTH
from perfrun_kernels.spike import lines, results, solving, timeline, trace
from perfrun_kernels.spike.incidents import Watch
from perfrun_kernels.spike.order import KINDS, Container, Pod, SpikeOrder
from perfrun_kernels.spike.results import INJECTIONS, NATURAL, Setting
from perfrun_kernels.spike.solving import Solver

RECORDED = Path(__file__).parent / "recorded"


@attrs.frozen
class Replay:
    """What was found in a recording."""

    watch: Watch
    measured: object

    def rows(self, name, columns=INJECTIONS):
        return [dict(zip(columns, row, strict=True)) for row in self.measured.tables[name].rows]


def replay(name, drop=()):
    with gzip.open(RECORDED / f"{name}.jsonl.gz", "rt") as file:
        first, *texts = file.read().splitlines()
    given = json.loads(first)
    pods = tuple(
        Pod(
            each["namespace"], each["name"], each["uid"], each["ip"], each["host_network"],
            tuple(Container(own["name"], own["id"]) for own in each["containers"]),
        )
        for each in given["pods"]
    )  # fmt: skip
    moments = iter(range(10**16, 10**17, 1000))
    solver = Solver(pods, given["port"], lambda pids, _: set(pids) & set(given["listeners"]), lambda: next(moments))
    watch = Watch(solver)
    for line in map(lines.read, texts):
        if not isinstance(line, drop):
            watch.take(line)
    watch.finish()
    order = SpikeOrder({}, given["port"], KINDS, 1, pods, (), "s2-spike", 1)
    setting = Setting(order, trace.Clocks(1_000, 2_000, 1_700_000_000 * 10**9), 10**9)
    return Replay(watch, results.measurement(watch, setting, solver.pieces, "node1", 10**12))


@pytest.fixture(scope="module", params=KINDS)
def made(request):
    """The recording of each kind of spike."""
    return request.param, replay(request.param)


def test_container_and_stage_are_those_that_were_held_up(made):
    kind, found = made
    (row,) = found.rows("injections")
    assert KINDS[int(row["kind"])] == kind
    assert results.STAGES[int(row["stage"])] == SPIKE_TRUTH[kind]
    assert (row["detected"], row["identified"], row["located"], row["traced"]) == (1, 1, 1, 1)
    assert row["answer_pod"] == row["pod"]
    assert 0 < row["detect_s"] < 0.05
    assert row["detect_s"] < row["identify_s"] < row["locate_s"] < row["trace_s"]
    assert 0.04 < row["lasted_s"] < 0.2
    assert found.rows("natural", NATURAL) == found.rows("elsewhere", NATURAL) == []


def test_each_answer_has_a_sentence(made):
    kind, found = made
    sentence = found.measured.facts["injection.0"]
    assert sentence.startswith(f"{kind} ")
    assert f": {SPIKE_TRUTH[kind]}: " in sentence
    assert "listens on port 8080" in sentence


def test_the_trace_is_one_that_perfetto_reads(made):
    kind, found = made
    data = gzip.decompress(base64.b64decode(found.measured.attachments["trace"].data))
    assert trace.check(data) > 50
    packets = protos.Trace.FromString(data).packet
    tracks = {each.track_descriptor.name for each in packets if each.HasField("track_descriptor")}
    assert {"perfrun", "injected", "probe", "packets"} <= tracks
    assert any(name.startswith("CPU ") for name in tracks)
    named = {each.track_event.name for each in packets if each.HasField("track_event")}
    assert {kind, timeline.ALARM, "deadline", SPIKE_TRUTH[kind]} <= named
    noted = {note.name: note.string_value for each in packets for note in each.track_event.debug_annotations}
    assert noted["stage"] == SPIKE_TRUTH[kind]


def test_the_picture_is_well_formed_and_says_what_it_shows(made):
    kind, found = made
    drawn = base64.b64decode(found.measured.attachments["timeline"].data).decode()
    document = xml.dom.minidom.parseString(drawn)  # noqa: S318 -- our own
    words = " ".join(each.firstChild.data for each in document.getElementsByTagName("text"))
    assert f"{kind} injected: {SPIKE_TRUTH[kind]}" in words
    for lane in ("probe", "queues and softirqs", "injected", timeline.ALARM, "deadline"):
        assert lane in words


def test_without_its_events_a_spike_is_detected_but_not_located(made):
    _, found = made
    blind = replay(made[0], drop=(lines.Events,))
    (row,) = blind.rows("injections")
    assert (row["detected"], row["located"], results.STAGES[int(row["stage"])]) == (1, 0, "unknown")
    assert row["identified"] == found.rows("injections")[0]["identified"]


def test_a_spike_that_nobody_made_counts_from_its_probe():
    (row,) = replay("natural").rows("natural", NATURAL)
    assert (row["detected"], row["identified"], row["located"]) == (1, 1, 1)
    assert results.STAGES[int(row["stage"])] == "runqueue"
    assert 0 < row["detect_s"] < row["answered_s"] < 0.1


def test_a_fault_in_another_container_gives_no_spike():
    found = replay("elsewhere")
    rows = found.rows("injections")
    assert [(row["detected"], row["identified"], row["located"], row["detect_s"]) for row in rows] == [
        (0, 0, 0, -1)
    ] * 2
    assert found.measured.scalars["alarms"].value == 0
    assert found.measured.facts["injection.0"] == "freezer 0: no spike was seen"


def test_the_result_fits_the_contract():
    measured = replay("tbf").measured
    assert measured.facts["pods"] == "bench/web-0, bench/web-1"
    assert measured.facts["source"] == "tp_btf"
    assert measured.scalars["injections.done"].value == 1
    assert measured.scalars["deadline"].value == pytest.approx(0.002, rel=1)
    assert all(len(table.columns) == len(row) for table in measured.tables.values() for row in table.rows)


def test_the_picture_shows_who_had_the_cpu_instead():
    found = replay("hog")
    (incident,) = found.watch.incidents.values()
    taker = incident.located.why.partition(" while ")[2].removesuffix(" ran")
    spans = [span for lane in timeline.of(incident).lanes if lane.name.startswith("CPU ") for span in lane.spans]
    held = max(spans, key=lambda span: span.end - span.start)
    assert taker
    assert held.name == taker


def test_a_long_watch_keeps_the_events_of_a_few_spikes_only(monkeypatch):
    monkeypatch.setattr(solving, "MOST_EVENTS", 0)
    monkeypatch.setattr(solving, "MOST_TRACE_BYTES", 10)
    found = replay("tbf")
    (row,) = found.rows("injections")
    assert (row["located"], row["traced"]) == (1, 1)
    assert found.measured.facts["trace"].startswith("1 spikes are not in the trace")
    assert all(each.events is None for each in found.watch.incidents.values())
