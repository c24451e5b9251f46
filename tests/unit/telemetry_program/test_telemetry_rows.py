"""What the evidence of one row means, without a server."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest

from perfrun_kernels.pictures.values import RecordedRow
from perfrun_kernels.prometheus import RawSeries
from perfrun_kernels.telemetry import picturing, results
from perfrun_kernels.telemetry.evidence import Evidence, ends
from perfrun_kernels.telemetry.owners import finder
from perfrun_kernels.telemetry.parameters import Owner, Row
from perfrun_kernels.telemetry.retention import read
from perfrun_kernels.telemetry.rows import judge
from perfrun_kernels.telemetry.spacing import Gap
from perfrun_kernels.telemetry.window import Window

START, END = 100_000.0, 103_600.0
WINDOW = Window(START, END, "recorded")
ROW = Row("cpu", "CPU utilization", ("load",), "node", "", 15.0, 7 * 86_400.0)


def series(node="a", first=START + 3, last=END, interval=15.0, **labels):
    times = np.arange(first, last, interval)
    owner = {"node": node} if node else {}
    return RawSeries({"__name__": "load", **owner, **labels}, times, np.cos(times))


def found(*some, expected=("a", "b"), row=ROW, window=WINDOW, since=0.0, **evidence):
    owners = [Owner(each, since) for each in expected]
    given = Evidence(row, "load", some, **{"oldest": 8 * 86_400.0, **evidence})
    return judge(given, window, finder(row.per, row.label, owners), owners)


def test_all_there():
    row = found(series("a"), series("b"))
    assert (row.reason, row.interval, row.present, row.missing, row.complete, row.gaps) == ("", 15, 2, (), 1, ())
    assert row.why == "2 series of 2 of 2 nodes, every 15 s (p99 15 s, longest 15 s); 100 % of the samples"


def test_milliseconds_do_not_make_an_interval_longer_than_stated():
    assert found(series("a", interval=15.02), series("b")).interval == 15.0
    assert found(series("a", interval=15.2), series("b")).interval == 15.15


def test_an_exporter_that_died_has_a_gap_to_the_end():
    row = found(series("a"), series("b", last=END - 900))
    [(place, gap)] = row.gaps
    assert (place, gap.end) == ("b", END)
    assert row.complete == pytest.approx(0.75, abs=0.01)


def test_an_exporter_that_restarted_under_another_address_has_none():
    restarted = [series("b", last=END - 900, instance="x:1"), series("b", first=END - 895, instance="y:1")]
    assert found(series("a"), *restarted).complete == 1


def test_an_error_that_began_late_is_no_gap():
    row = found(series("a", code="200"), series("a", first=END - 600, code="500"), series("b"))
    assert (row.complete, row.gaps) == (1, ())


def test_a_failed_scrape_is_one_gap_however_many_series_it_would_have_brought():
    times = np.array([each for each in np.arange(START, END, 15.0) if not START + 600 < each < START + 700])
    many = [RawSeries({"node": "a", "cpu": str(cpu)}, times, np.cos(times)) for cpu in range(8)]
    row = found(*many, series("b"))
    assert [place for place, _ in row.gaps] == ["a"]


def test_a_node_that_is_not_expected_is_listed_and_never_the_worst():
    row = found(series("a"), series("b"), series("gone", last=END - 1800, interval=60))
    assert (row.interval, row.complete, row.present, len(row.series)) == (15, 1, 2, 3)


def test_a_node_that_began_within_the_window_is_expected_from_then_on():
    assert found(series("a", first=END - 900), expected=("a",), since=END - 950).complete == 1


def test_a_node_that_began_just_now_is_not_expected_yet():
    assert found(series("a"), expected=("a", "b"), since=0).missing == ("b",)
    owners = [Owner("a"), Owner("b", since=END - 30)]
    given = Evidence(ROW, "load", (series("a"),), oldest=8 * 86_400.0)
    assert judge(given, WINDOW, finder("node", "", owners), owners).missing == ()


def test_labels_that_name_nobody_who_is_known_are_shown():
    row = found(series("", instance="10.9.9.9:9100"))
    assert row.reason == "NoOwner"
    assert "instance=10.9.9.9:9100" in row.why
    assert row.interval is None


@pytest.mark.parametrize(("per", "reason"), [("gpuNode", "NoGPUNode"), ("pod", "NoPod"), ("node", "NoSuchMetric")])
def test_nothing_at_all(per, reason):
    row = found(expected=(), row=attrs.evolve(ROW, per=per))
    expected = "NoSuchMetric" if per == "node" else reason
    assert (row.reason, row.interval, row.complete) == (expected, None, None)


def test_a_history_shorter_than_the_window_is_judged_as_far_as_it_goes_and_said():
    row = found(series("a", first=END - 600), series("b", first=END - 600), oldest=600.0)
    assert (row.reason, row.complete, row.interval) == ("ShortHistory", 1, 15)
    assert "600 s" in row.why


def test_what_is_observed_has_a_gap_where_a_short_history_would_be():
    observed = attrs.evolve(WINDOW, kind="observed")
    row = found(series("a", first=END - 600), series("b"), oldest=600.0, window=observed)
    assert row.reason == ""
    assert row.complete < 0.2


def test_a_row_whose_question_was_refused_says_so():
    row = found(reason="MetricsLimited", why="too many samples")
    assert (row.reason, row.why, row.missing, row.interval) == ("MetricsLimited", "too many samples", (), None)


def test_resets_are_those_of_counters_and_nan_is_none():
    values = np.array([1.0, 2, np.nan, 3, 1, 2])
    some = RawSeries({"__name__": "load", "node": "a"}, np.arange(6.0) * 15 + END - 100, values)
    assert found(some, expected=("a",), counters=frozenset({"load"})).resets == 1
    assert found(some, expected=("a",)).resets == 0


def test_ends_are_looked_at_just_before_the_next_sample_or_before_the_last_is_too_old():
    times = np.array([0.0, 15, 75, 90, 105])
    moments = ends([RawSeries({"node": "a"}, times, times)], 15.0, 2000.0, 300.0)
    assert moments == [(74.999, frozenset({'{node="a"}'})), (404.999, frozenset({'{node="a"}'}))]


def test_gaps_of_many_at_one_time_are_told_together():
    gaps = [(f"node-{each}", Gap(100.0 + each, 200.0, 5)) for each in range(4)]
    assert results.together(gaps, 15.0) == [("node-0", gaps[0][1], 3)]


def test_long_lists_say_how_much_is_left_out():
    text = results.listed(f"node-{each:04}" for each in range(500))
    assert len(text.encode()) <= results.MOST_BYTES
    assert text.endswith("more")
    assert results.listed([]) == ""


def test_numbers_that_are_not_there_have_a_sentence():
    scalars = results.scalars(found(expected=()))
    assert scalars["cpu.interval"].value is None
    assert "no sample of load" in scalars["cpu.interval"].reason


def test_the_file_holds_every_series_without_a_number_that_json_lacks():
    one = RawSeries({"__name__": "load", "node": "a"}, np.array([END - 1]), np.array([np.nan]))
    row = found(one, series("b"))
    data = json.loads(json.dumps(results._row(row), allow_nan=False))
    assert [each["interval"] for each in data["series"]] == [None, 15.0]


@pytest.mark.parametrize(
    ("some", "said", "judged"),
    [
        ([series("a"), series("b")], "7d", "good"),
        ([series("a"), series("b")], "3d", "bad"),
        ([series("a")], "7d", "bad"),
        ([series("a", interval=30), series("b", interval=30)], "7d", "bad"),
        ([], "7d", "unknown"),
    ],
)
def test_the_picture_says_what_the_numbers_say(some, said, judged):
    row = found(*some)
    assert picturing.judged(row, 0.99, read(said, "none")) == judged
    drawn = picturing._row(row, 0.99, read(said, "none"))
    assert isinstance(drawn, RecordedRow)
    assert len(drawn.series) == len(some)


def test_names_in_the_picture_say_whose_a_series_is_and_what_sets_it_apart():
    some = [series(each, cpu=str(cpu), job="node", instance=f"{each}:9100") for each in "ab" for cpu in (0, 1)]
    assert picturing.names(found(*some).series) == ["a cpu=0", "a cpu=1", "b cpu=0", "b cpu=1"]
    anybodys = [series("", instance=each, job="node") for each in ("x:1", "y:1")]
    row = found(*anybodys, expected=(), row=attrs.evolve(ROW, per="any"))
    assert picturing.names(row.series) == ["instance=x:1", "instance=y:1"]
    assert picturing.names(row.series[:1]) == ['load{instance="x:1",job="node"}']
