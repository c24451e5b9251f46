"""Books, histograms and timelines: exact where they can be, and bounded where they cannot."""

import base64
import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from perfrun.measuring import failover, histograms, ledger, spread, timeline
from perfrun.measuring.failover import Normal, Recovery
from perfrun.measuring.histograms import Histogram, Layout
from perfrun.measuring.ledger import Ledger
from perfrun.measuring.timeline import Timeline, Window

LAYOUT = Layout(digits=3, unit_magnitude=0)
COUNTS = st.integers(0, 10**9)
LEDGERS = st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS).map(lambda parts: Ledger(sum(parts), *parts))
VALUES = st.lists(st.integers(0, 3_600_000_000), min_size=1, max_size=200)


@pytest.fixture
def noise():
    return np.random.default_rng(7)


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
    assert not ledger.generator_verdict(1000, 1000, 0.1, None, window=0.1).saturated
    blurred = ledger.generator_verdict(1000, 1000, 0.184, None, window=0.1)
    assert blurred.message.endswith("its lateness p99 was 184 ms, more than the 100 ms that are resolved")
    assert ledger.generator_verdict(1000, 980, 0.0, None).message.startswith("generator saturated at 980/s")


@pytest.mark.parametrize(
    ("ok", "unanswered", "logged", "found"),
    [
        (2, ["r-0-3"], ["r-0-1-0", "r-0-2-0"], ledger.Reconciliation(2, 0, 0, 0)),
        (2, ["r-0-3"], ["r-0-1-0", "r-0-1-1", "r-0-2-2"], ledger.Reconciliation(2, 0, 0, 0)),
        (2, ["r-0-3"], ["r-0-1-0", "r-0-1-0", "r-0-3-1"], ledger.Reconciliation(1, 1, 1, 1)),
        (1, [], ["r-0-1-0", "r-0-2-0"], ledger.Reconciliation(1, 0, 0, 0, foreign=1)),
        (0, [], [], ledger.Reconciliation(0, 0, 0, 0)),
    ],
    ids=["agree", "retried", "lost and repeated", "unknown", "nothing"],
)
def test_ids_are_held_against_the_log(ok, unanswered, logged, found):
    told = ledger.reconcile(ok, unanswered, logged)
    assert told == found
    assert told.agrees == (found.unseen == found.foreign == 0)


def windows(*goods, lost=None):
    lost = lost or {}
    return tuple(
        Window(ok=good, error=lost.get(at, 0), timeout=0, never_sent=0, in_flight=0, good=good, served={"a": good})
        for at, good in enumerate(goods)
    )


def test_the_floor_is_the_lowest_sliding_window_against_the_baseline():
    run, baseline = Timeline(1000.0, 0.5, windows(50, 50, 20, 30, 50, 50)), Timeline(990.0, 0.5, windows(*[50] * 20))
    found = failover.floor(run, baseline, 2, 0.99)
    assert (found.share, found.lowest, found.baseline, found.at, found.seconds) == (0.5, 50.0, 100.0, 1001.0, 1.0)
    assert found.lower < 0.5 < found.upper
    assert found.answers == 1050
    assert failover.floor(run, baseline, 7, 0.99) is None
    assert failover.floor(run, Timeline(990.0, 0.5, windows(0, 0)), 1, 0.99) is None


def test_a_steady_system_keeps_a_floor_that_its_windows_are_sized_for(noise):
    size = failover.floor_window(rate=1000, floor=0.8, seconds=0.1)
    kept = 0
    for _ in range(100):
        run = Timeline(0.0, 0.1, windows(*noise.poisson(100, 470)))
        kept += failover.floor(run, Timeline(-10.0, 0.1, windows(*noise.poisson(100, 100))), size, 0.99).lower > 0.8
    assert kept >= 95


def test_bounds_of_the_floor_hold_as_often_as_they_say(noise):
    rates = [100.0] * 40 + [70.0] * 10 + [100.0] * 40
    below = above = 0
    for _ in range(300):
        run = Timeline(0.0, 0.1, windows(*noise.poisson(rates)))
        found = failover.floor(run, Timeline(-10.0, 0.1, windows(*noise.poisson(100, 100))), 10, 0.95)
        below += found.lower <= 0.7
        above += found.upper >= 0.7
    assert below >= 0.93 * 300
    assert above >= 0.93 * 300


def test_recovery_is_the_start_of_the_first_sustained_good_stretch():
    run = Timeline(0.0, 1.0, windows(100, 10, 100, 10, 100, 100, 100))
    normal = Normal(goodput=90)
    assert failover.recovery(run, 1.0, normal, sustained=1) == Recovery(1.0, 1, 3.0, {"goodput": 2})
    assert failover.recovery(run, 1.0, normal, sustained=3) == Recovery(3.0, 2, 3.0, {"goodput": 2})
    assert failover.recovery(run, 1.0, normal, sustained=4).seconds is None


def test_a_stretch_with_losses_is_not_good():
    run = Timeline(0.0, 1.0, windows(100, 100, 100, 100, lost={1: 1}))
    assert failover.recovery(run, 0.0, Normal(90), sustained=2) == Recovery(2.0, 1, 2.0, {"lost": 1})


def shared(a, b, waiting=0):
    served = {"a": a, "b": b}
    return Window(
        ok=100, error=0, timeout=0, never_sent=0, in_flight=0, good=100, served=served, waiting=waiting
    )  # fmt: skip


def test_an_uneven_stretch_is_not_good():
    run = Timeline(0.0, 1.0, (shared(90, 10), shared(50, 50), shared(50, 50)))
    found = failover.recovery(run, 0.0, Normal(90, ("a", "b"), spread=0.2), sustained=2)
    assert found == Recovery(1.0, 1, 1.0, {"spread": 1})


def test_a_stretch_with_a_backlog_is_not_good():
    run = Timeline(0.0, 1.0, (shared(50, 50, waiting=30), shared(50, 50), shared(50, 50)))
    found = failover.recovery(run, 0.0, Normal(90, waiting=20), sustained=2)
    assert found == Recovery(1.0, 1, 1.0, {"backlog": 1})


def test_a_stretch_in_which_a_server_has_no_part_is_not_good():
    run = Timeline(0.0, 1.0, (shared(100, 0), shared(100, 0), shared(99, 1)))
    assert failover.recovery(run, 0.0, Normal(90, ("a", "b")), sustained=2) == Recovery(1.0, 0, 0.0, {"idle": 1})


def test_waiting_requests_are_those_that_are_due_and_answered_later():
    late = [Window(ok=10, error=0, timeout=0, never_sent=0, in_flight=0, good=good, served={}) for good in (4, 10, 16)]
    run = timeline.with_waiting(Timeline(0.0, 1.0, tuple(late)))
    assert [window.waiting for window in run.windows] == [6, 6, 0]
    assert [window.waiting for window in timeline.grouped(run, 3).windows] == [6]


def test_servers_are_joined_under_the_names_of_their_nodes():
    run = timeline.named(Timeline(0.0, 1.0, (shared(60, 40),)), {"a": "node-1", "b": "node-1"})
    assert run.windows[0].served == {"node-1": 100}


def test_the_last_answer_of_a_dead_server_is_found():
    run = Timeline(10.0, 1.0, windows(5, 5, 0, 0))
    assert timeline.last_served(run, "a") == 12.0
    assert timeline.last_served(run, "b") is None


def test_a_server_that_served_nothing_counts():
    assert spread.spread({"a": 110, "b": 90}) == pytest.approx(0.2)
    assert spread.spread({"a": 100}, servers=("a", "b")) == pytest.approx(2.0)
    assert spread.spread({}) is None


@pytest.mark.parametrize(("servers", "deviations"), [(2, 1.128), (5, 2.326), (10, 3.078), (20, 3.735)])
def test_the_range_of_normal_variables_is_the_tabulated_one(servers, deviations):
    assert spread.expected_range(servers) == pytest.approx(deviations, rel=1e-3)


@pytest.mark.parametrize("servers", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_quantiles_of_the_range_are_those_of_the_studentized_range(servers, confidence):
    expected = stats.studentized_range.ppf(confidence, servers, 1e6)
    assert spread.range_quantile(servers, confidence) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("servers", [5, 10, 20])
def test_even_servers_keep_a_limit_that_the_load_is_sized_for(noise, servers):
    limit, kept = 0.1, 0
    answers = spread.answers_needed(servers, limit, 0.99)
    names = [f"s{at}" for at in range(servers)]
    for _ in range(60):
        counts = noise.poisson(answers / servers / 100, (100, servers))
        batches = [dict(zip(names, map(int, row), strict=True)) for row in counts]
        kept += spread.bounded_spread(batches, names, 0.99).upper < limit
    assert kept >= 48


@pytest.mark.parametrize(
    ("shares", "together"),
    [((1, 1, 1, 1, 1), 1), ((1.2, 1, 1, 1, 0.9), 1), ((1.2, 1, 1, 1, 0.9), 10), ((1, 1), 1), ((1.3, 0.9), 5)],
    ids=["even", "uneven", "uneven, clustered", "two even", "two uneven, clustered"],
)
def test_bounds_of_the_spread_hold_as_often_as_they_say(noise, shares, together):
    true = (max(shares) - min(shares)) / (sum(shares) / len(shares))
    names = [f"s{at}" for at in range(len(shares))]
    below = above = 0
    for _ in range(300):
        counts = together * noise.poisson([1000 / 25 / together * each for each in shares], (100, len(shares)))
        batches = [dict(zip(names, map(int, row), strict=True)) for row in counts]
        found = spread.bounded_spread(batches, names, 0.95)
        below += found.lower <= true + 1e-9
        above += found.upper >= true - 1e-9
    assert below >= 0.93 * 300
    assert above >= 0.93 * 300


def test_clustered_answers_are_worth_fewer(noise):
    alone, together = noise.poisson(50, (100, 4)), 10 * noise.poisson(5, (100, 4))
    assert spread.clustering_of(alone.tolist())[0] == pytest.approx(1, abs=1)
    assert spread.clustering_of(together.tolist())[0] == pytest.approx(10, rel=0.8)
    assert spread.clustering_of([[5, 5]]) == (1.0, 1.0)


def test_a_spread_needs_two_servers_and_something_served():
    assert spread.bounded_spread([{"a": 5}], ("a",), 0.99) is None
    assert spread.bounded_spread([{}], ("a", "b"), 0.99) is None
    idle = spread.bounded_spread([{"a": 500}] * 20, ("a", "b"), 0.99)
    assert (idle.value, idle.least, idle.most) == (2.0, "b", "a")
    assert idle.lower > 1.8


def test_floor_windows_are_six_deviations_from_a_false_alarm():
    size = failover.floor_window(rate=50.0, floor=0.8, seconds=0.1)
    assert 1 / math.sqrt(50.0 * 0.1 * size) <= 0.2 / 6


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
