"""A restart is no end, an end is no restart, and copies are copies."""

from __future__ import annotations

import numpy as np
import pytest

from perfrun_kernels.prometheus import RawSeries
from perfrun_kernels.telemetry.lanes import copies, lanes, merged

START, END, INTERVAL = 1000.0, 4600.0, 15.0


def series(first=START, last=END, level=1.0, **labels):
    times = np.arange(first, last, INTERVAL)
    return RawSeries({"__name__": "load", **labels}, times, level + np.sin(times / 100))


def found(*some):
    return lanes("node-1", some, START, END, INTERVAL)


def test_an_exporter_that_restarted_goes_on_in_its_lane():
    (lane,) = found(series(last=2000, instance="10.1.0.1:9100"), series(first=2030, instance="10.1.0.2:9100"))
    assert lane.sources == ("10.1.0.1:9100", "10.1.0.2:9100")
    assert (lane.times[0], lane.times[-1]) == (1000, pytest.approx(END, abs=INTERVAL))


def test_a_successor_may_begin_before_its_predecessor_ends():
    assert len(found(series(last=2000, instance="a"), series(first=1900, instance="b"))) == 1


def test_of_two_that_were_there_from_the_start_the_one_that_ends_is_not_replaced_by_the_other():
    assert len(found(series(last=2000, instance="a"), series(instance="b"))) == 2


def test_one_that_came_late_replaces_only_one():
    some = [series(last=2000, instance="a"), series(last=2500, instance="b"), series(first=2600, instance="c")]
    assert sorted(len(lane.sources) for lane in found(*some)) == [1, 2]


def test_all_series_of_one_scrape_are_one_source():
    (lane,) = found(*(series(cpu=str(each), job="node", instance="a") for each in range(8)))
    assert lane.sources == ("node, a",)


def test_series_of_nobody_in_particular_are_one_lane():
    assert merged("", [series(instance="a"), series(instance="b", first=1007)]).times.size == 2 * 240


def test_replicas_are_copies():
    assert copies([("n", series(replica=each)) for each in ("a", "b", "c")]) == 2


def test_one_thing_scraped_twice_is_a_copy():
    assert copies([("n", series(instance="a:1", level=100)), ("n", series(instance="b:1", level=100.1))]) == 1


def test_two_things_are_no_copies():
    assert copies([("n", series(instance="a:1", level=100)), ("n", series(instance="b:1", level=120))]) == 0
    assert copies([("n", series(instance="a:1", level=100)), ("m", series(instance="b:1", level=100))]) == 0
    assert copies([("n", series(cpu="0")), ("n", series(cpu="1"))]) == 0


def test_series_that_never_change_are_not_called_copies():
    flat = [RawSeries({"instance": each}, np.arange(5.0), np.zeros(5)) for each in ("a", "b")]
    assert copies([("n", each) for each in flat]) == 0
