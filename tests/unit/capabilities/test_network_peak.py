"""The ladder to the peak load: how it climbs, and what is found on it."""

import attrs
import pytest
from loads import Happening, changed, histogram

from perfrun.api.network import Peak
from perfrun.capabilities.peak import found, ladder
from perfrun.capabilities.traffic import Segment
from perfrun_kernels.contract import Result

STEPS = 4
RATES = (500.0, 1000.0, 2000.0, 4000.0)
CLIMB = Happening(rate=1000, segments=(2.0,) * STEPS)
PARAMETERS = {
    "schedule": [{"seconds": 2.0, "rate": rate} for rate in RATES], "peak_latency_seconds": 0.05,
    "probe_lateness_seconds": 0.05,
}  # fmt: skip


def of(shape=lambda _second: {}, lateness=None, load=CLIMB):
    """Return what is found on a climb; ``shape`` changes a window and ``lateness`` that of steps, in seconds."""
    late = {f"lateness.{step}": histogram({round(value * 1e6): 1000}) for step, value in (lateness or {}).items()}
    shards = [changed(each, histograms={**each.histograms, **late}) for each in load.evidence(shape).shards]
    return found(tuple(shards), PARAMETERS)


def during(*steps, **change):
    return lambda second: change if int(second / 2 + 1e-9) in steps else {}


def test_a_ladder_multiplies_its_rate_and_ends_where_no_generator_goes():
    assert ladder(Peak(first=500, growth=2, steps=3, step="2s")) == (
        Segment(2, 500), Segment(2, 1000), Segment(2, 2000),
    )  # fmt: skip
    assert [each.rate for each in ladder(Peak(first=1e6, growth=10, steps=32))] == [1e6, 1e7]


@pytest.mark.parametrize(
    ("shape", "rate", "said"),
    [
        (during(3, latency=0.08), 2000, "4000/s not: its p99 was"),
        (during(2, 3, latency=0.08), 1000, "2000/s not: its p99 was"),
        (during(2, 3, error=1), 1000, "2000/s not: 20 of "),
        (during(2, 3, timeout=1), 1000, "requests got no good answer"),
        (during(1, error=3), 4000, "is the last of 4 steps"),
    ],
    ids=["slow at the last", "slow from the third", "errors", "timeouts", "a bad step below a good one"],
)
def test_the_peak_is_the_highest_step_that_was_answered_well(shape, rate, said):
    peak = of(shape)
    assert peak.rate == rate
    assert said in peak.why
    assert peak.proven is (rate != 4000)


def test_a_first_step_that_is_bad_leaves_nothing():
    peak = of(during(0, 1, 2, 3, error=5))
    assert (peak.rate, peak.proven) == (None, False)
    assert peak.why.startswith("not even 500/s was answered well: 100 of ")
    assert "lower network.peak.first" in peak.why


def test_a_last_step_that_is_good_is_no_proof_of_a_peak():
    peak = of()
    assert (peak.rate, peak.proven) == (4000, False)
    assert "raise network.peak.steps or network.peak.first" in peak.why
    assert "state the peak that you know or promise as network.peak.rate" in peak.why


@pytest.mark.parametrize(
    ("shape", "late", "proven"),
    [
        (during(3, latency=0.012), 0.2, False),
        (during(3, latency=0.03), 0.12, False),
        (during(3, latency=0.1), 0.12, True),
        (during(3, error=3), 0.2, True),
    ],
    ids=["late alone", "slow because late", "late, and slower than that", "late, and errors"],
)
def test_a_generator_that_is_late_is_told_from_servers_that_are_slow(shape, late, proven):
    peak = of(shape, {3: late})
    assert (peak.rate, peak.proven) == (2000, proven)
    assert ("the generators' own lateness" in peak.why) is not proven
    assert ("use more shards or loops" in peak.why) is not proven


def test_requests_that_never_went_out_are_the_generators_unless_connections_were_busy():
    shape = during(3, never_sent=10)
    held = of(shape)
    assert (held.rate, held.proven) == (2000, True)
    assert "as connections were busy" in held.why
    whole = CLIMB.evidence(shape).shards[0]
    own = changed(whole, facts={"error.never sent: all connections were busy": 0})
    peak = found((own,), PARAMETERS)
    assert (peak.rate, peak.proven) == (2000, False)
    assert "4000/s could not be offered" in peak.why


def test_a_few_that_never_went_out_are_no_end_of_the_climb():
    assert of(lambda second: {"never_sent": 1} if int(second * 10 + 0.5) % 7 == 0 else {}).rate == 4000


def test_all_generators_climb_together():
    assert of(during(3, latency=0.08), load=attrs.evolve(CLIMB, shards=2)).rate == 2000


def test_a_climb_that_was_not_whole_finds_nothing():
    stopped = changed(CLIMB.result(), facts={"stopped": True})
    assert found((stopped,), PARAMETERS).rate is None
    assert "stopped" in found((stopped,), PARAMETERS).why
    assert found((), PARAMETERS).rate is None


def test_a_climb_without_histograms_finds_nothing():
    whole = CLIMB.result()
    bare = Result(**{**{name: getattr(whole, name) for name in whole.__dataclass_fields__}, "histograms": {}})
    assert found((bare,), PARAMETERS).rate is None
    assert "no histogram" in found((bare,), PARAMETERS).why


def test_a_step_of_which_nothing_is_known_is_not_good():
    longer = {**PARAMETERS, "schedule": [*PARAMETERS["schedule"], {"seconds": 2.0, "rate": 8000.0}]}
    whole = CLIMB.result()
    empty = {f"{name}.4": histogram({}) for name in ("latency", "lateness")}
    peak = found((changed(whole, histograms={**whole.histograms, **empty}),), longer)
    assert (peak.rate, peak.proven) == (4000, False)
    assert "no request of it came to an end" in peak.why
