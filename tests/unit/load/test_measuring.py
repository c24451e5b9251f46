"""Books, histograms and timelines: exact where they can be, and bounded where they cannot."""

import base64
import math
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perfrun.measuring import histograms, ledger, timeline
from perfrun.measuring.histograms import Histogram, Layout
from perfrun.measuring.ledger import Ledger
from perfrun.measuring.timeline import Timeline, Window

LAYOUT = Layout(digits=3, unit_magnitude=0)
COUNTS = st.integers(0, 10**9)
LEDGERS = st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS).map(lambda parts: Ledger(sum(parts), *parts))
VALUES = st.lists(st.integers(0, 3_600_000_000), min_size=1, max_size=200)


def bucket(value):
    """Return a value's index by HdrHistogram's definition: 2048 sub-buckets, of which each doubling adds half."""
    doubling = max(0, value.bit_length() - 11)
    return (doubling + 1) * 1024 + (value >> doubling) - 1024


def histogram(values):
    counts = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    return Histogram("s", 1e-6, LAYOUT, counts)


def encoded(counts, digits=3):
    """Write what HdrHistogram's V2 encoding says, as the generator's library does."""
    body, at = b"", 0
    for index in sorted(counts):
        if index > at:
            body += zigzag(at - index)
        body += zigzag(counts[index])
        at = index + 1
    plain = struct.pack(">iiiiqqd", 0x1C849313, len(body), 0, digits, 1, 3_600_000_000, 1.0) + body
    packed = zlib.compress(plain)
    return base64.b64encode(struct.pack(">ii", 0x1C849314, len(packed)) + packed).decode()


def zigzag(number):
    value, out = (number << 1) ^ (number >> 63), b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


@given(st.lists(LEDGERS, min_size=1, max_size=8))
def test_merged_ledgers_close(parts):
    whole = ledger.merge(parts)
    assert whole.scheduled == whole.ok + whole.error + whole.timeout + whole.never_sent + whole.in_flight
    assert whole.dropped == sum(part.dropped for part in parts)


@given(LEDGERS, st.integers(-5, 5).filter(bool))
def test_books_that_do_not_balance_are_refused(good, missing):
    parts = (good.ok, good.error, good.timeout, good.never_sent, good.in_flight)
    with pytest.raises(ledger.LedgerError, match="does not close"):
        Ledger(good.scheduled + missing, *parts)


def test_none_of_n_is_an_upper_bound():
    assert ledger.share(0, 46_050, 0.99).upper <= 0.0001 < ledger.share(0, 46_048, 0.99).upper
    assert ledger.share(0, 10, 0.99).lower == 0


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_have_the_exact_bounds_of_clopper_and_pearson(drawn):
    count, of = drawn
    found = ledger.share(count, of, 0.99)
    upper = stats.beta.ppf(0.99, count + 1, of - count) if count < of else 1.0
    lower = stats.beta.ppf(0.01, count, of - count + 1) if count else 0.0
    assert found.upper == pytest.approx(upper, rel=1e-6)
    assert found.lower == pytest.approx(lower, rel=1e-6)


@given(VALUES, st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_of_its_sample(values, quantile):
    true = sorted(values)[max(1, math.ceil(quantile * len(values))) - 1]
    found = histogram(values).quantile(quantile) * 1e6
    assert true <= found + 1e-3
    assert found <= true * 1.001 + 1


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_merging_is_recording_everything_in_one(parts):
    together = histogram([value for part in parts for value in part])
    assert histograms.merge([histogram(part) for part in parts]).counts == together.counts


def test_histograms_of_other_units_do_not_join():
    with pytest.raises(histograms.HistogramError, match="cannot join"):
        histograms.merge([histogram([1]), Histogram("s", 1e-9, LAYOUT, {1: 1})])


@given(VALUES)
def test_the_encoding_is_read_back(values):
    counts = histogram(values).counts
    assert histograms.decode(encoded(counts), "s", 1e-6) == Histogram("s", 1e-6, LAYOUT, counts)


@pytest.mark.parametrize("text", ["", "????", "AAAA", base64.b64encode(b"\x1c\x84\x93\x14\0\0\0\2xx").decode()])
def test_other_texts_are_refused(text):
    with pytest.raises(histograms.HistogramError, match="expected an HdrHistogram"):
        histograms.decode(text, "s", 1e-6)


@given(st.binary(max_size=60))
def test_damaged_bodies_are_refused_or_read_but_never_break(noise):
    packed = zlib.compress(noise)
    text = base64.b64encode(struct.pack(">ii", 0x1C849314, len(packed)) + packed).decode()
    with pytest.raises(histograms.HistogramError):
        histograms.decode(text, "s", 1e-6)


def test_bounds_need_as_many_samples_as_the_percentile_asks():
    assert histogram(range(1, 459)).bounds(0.99, 0.99).upper == math.inf
    enough = histogram(range(1, 460)).bounds(0.99, 0.99)
    assert enough.upper == pytest.approx(459e-6)
    assert enough.lower <= enough.value <= enough.upper


def test_a_bucket_that_straddles_a_limit_counts_as_over():
    assert histogram([5000]).over(5001e-6) == 1
    assert histogram([5000]).over(5003e-6) == 0


def test_a_generator_that_keeps_up_is_not_saturated():
    assert not ledger.generator_verdict(1000, 995, 0.004, 0.1).saturated
    late = ledger.generator_verdict(1000, 1000, 0.006, 0.1)
    assert late.saturated
    assert late.message == (
        "generator saturated at 1000/s: its lateness p99 was 6 ms, more than 5 % of the limit of 100 ms"
    )
    assert ledger.generator_verdict(1000, 980, 0.0, None).message.startswith("generator saturated at 980/s")


def test_ids_are_held_against_the_log():
    found = ledger.reconcile(
        answered=["r-0-1", "r-0-2"], sent=["r-0-1", "r-0-2", "r-0-3"],
        logged=["r-0-1-0", "r-0-1-0", "r-0-3-1", "other-0-9-0"],
    )  # fmt: skip
    assert found == ledger.Reconciliation(matched=1, unseen=1, extra=1, repeated=1, foreign=1)
    assert not found.agrees


def windows(*goods, lost=None):
    lost = lost or {}
    return tuple(
        Window(ok=good, error=lost.get(at, 0), timeout=0, never_sent=0, in_flight=0, good=good, served={"a": good})
        for at, good in enumerate(goods)
    )


def test_the_floor_is_the_lowest_sliding_window_against_the_baseline():
    run = Timeline(1000.0, 0.5, windows(50, 50, 20, 30, 50, 50))
    found = timeline.floor(run, baseline=100.0, size=2)
    assert found == timeline.Floor(share=0.5, lowest=50.0, baseline=100.0, at=1001.0, seconds=1.0)
    assert timeline.floor(run, baseline=100.0, size=7) is None
    assert timeline.floor(run, baseline=0.0, size=1) is None


def test_recovery_is_the_start_of_the_first_sustained_good_stretch():
    run = Timeline(0.0, 1.0, windows(100, 10, 100, 10, 100, 100, 100))
    assert timeline.recovery(run, 1.0, 90, sustained=1) == timeline.Recovery(1.0, 1, 3.0)
    assert timeline.recovery(run, 1.0, 90, sustained=3) == timeline.Recovery(3.0, 2, 3.0)
    assert timeline.recovery(run, 1.0, 90, sustained=4).seconds is None


def test_a_stretch_with_losses_is_not_good():
    run = Timeline(0.0, 1.0, windows(100, 100, 100, 100, lost={1: 1}))
    assert timeline.recovery(run, 0.0, 90, sustained=2) == timeline.Recovery(2.0, 2 - 1, 2.0)


def test_an_uneven_stretch_is_not_good():
    uneven = Window(ok=100, error=0, timeout=0, never_sent=0, in_flight=0, good=100, served={"a": 90, "b": 10})
    even = Window(ok=100, error=0, timeout=0, never_sent=0, in_flight=0, good=100, served={"a": 50, "b": 50})
    run = Timeline(0.0, 1.0, (uneven, even, even))
    assert timeline.recovery(run, 0.0, 90, sustained=2, most_spread=0.2).seconds == 1.0


def test_the_last_answer_of_a_dead_server_is_found():
    run = Timeline(10.0, 1.0, windows(5, 5, 0, 0))
    assert timeline.last_served(run, "a") == 12.0
    assert timeline.last_served(run, "b") is None


def test_a_server_that_served_nothing_counts():
    assert timeline.spread({"a": 110, "b": 90}) == pytest.approx(0.2)
    assert timeline.spread({"a": 100}, servers=("a", "b")) == pytest.approx(2.0)
    assert timeline.spread({}) is None


@pytest.mark.parametrize("servers", [2, 5, 10])
def test_spread_windows_keep_the_noise_of_even_servers_small(servers):
    limit = 0.1
    size = timeline.spread_window(rate=100.0, servers=servers, limit=limit, seconds=1.0)
    assert timeline.spread_noise(size * 100.0, servers) <= limit / 4
    assert timeline.spread_noise((size - 1) * 100.0, servers) > limit / 4


@pytest.mark.parametrize(("servers", "deviations"), [(2, 1.128), (5, 2.326), (10, 3.078), (20, 3.735)])
def test_the_range_of_normal_variables_is_the_tabulated_one(servers, deviations):
    assert timeline.spread_noise(servers * 10_000.0, servers) == pytest.approx(deviations / 100, rel=1e-3)


def test_floor_windows_are_five_deviations_from_a_false_alarm():
    size = timeline.floor_window(rate=50.0, floor=0.8, seconds=0.1)
    assert 1 / math.sqrt(50.0 * 0.1 * size) <= 0.2 / 5


def test_timelines_of_shards_join_only_with_one_start():
    part = Timeline(5.0, 1.0, windows(1, 2))
    joined = timeline.merge([part, Timeline(5.01, 1.0, windows(1, 2, 3))])
    assert [window.good for window in joined.windows] == [2, 4, 3]
    with pytest.raises(ValueError, match="one start and window"):
        timeline.merge([part, Timeline(6.0, 1.0, ())])


def test_windows_group_and_cut():
    run = Timeline(100.0, 1.0, windows(1, 2, 3, 4, 5))
    assert [window.good for window in timeline.grouped(run, 2).windows] == [3, 7]
    assert [window.good for window in run.between(101.0, 103.0).windows] == [2, 3]
    assert run.between(101.0, 103.0).goodput() == 2.5
