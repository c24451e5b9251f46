"""The strokes that pictures are made of."""

from __future__ import annotations

import datetime as dt
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun_kernels.pictures import svg

NOON = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC).timestamp()
above = st.floats(1e-9, 1e12)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(15, "15 s"), (0.25, "250 ms"), (90, "90 s"), (60, "1 min"), (604_800, "7 d"), (3600, "1 h"), (5400, "90 min")],
)
def test_durations_read_as_people_write_them(seconds, words):
    assert svg.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.036, "s", "36 ms"), (2.5, "s", "2.5 s"), (-0.5, "s", "-500 ms"), (1240, "1/s", "1.24k /s"),
        (0, "1/s", "0 /s"), (87.31, "cores", "87.3 cores"), (3.2e9, "B", "3.2G B"), (12, "", "12"),
    ],
)  # fmt: skip
def test_quantities_read_as_people_write_them(value, unit, words):
    assert svg.quantity(value, unit) == words


@given(above, st.floats(1.001, 1e6), st.integers(2, 12))
def test_round_values_lie_within_bounds_and_are_few(low, factor, most):
    high = low * factor
    found = svg.round_values(low, high, most)
    assert len(found) <= most + 1
    assert all(low - (high - low) * 1e-6 <= each <= high + (high - low) * 1e-6 for each in found)


@given(above, st.floats(1.5, 1e9), st.integers(2, 12))
def test_round_factors_lie_within_bounds_and_are_few(low, factor, most):
    found = svg.round_factors(low, low * factor, most)
    assert len(found) <= most + 1
    assert all(low <= each <= low * factor for each in found)


@given(st.floats(1, 2e9), st.floats(1, 1e8), st.integers(4, 14))
def test_moments_are_round_within_bounds_and_few(start, length, most):
    found = svg.moments(start, start + length, most)
    assert len(found) <= most + 1
    assert all(start <= at <= start + length for at, _ in found)


def test_moments_are_written_by_how_far_apart_they_are():
    assert [words for _, words in svg.moments(NOON, NOON + 3600, 7)][:2] == ["12:00", "12:10"]
    assert "Fri 27 Nov" in [words for _, words in svg.moments(NOON, NOON + 86_400, 8)]
    weeks = svg.moments(NOON, NOON + 35 * 86_400, 6)
    assert all(words.startswith("Mon ") for _, words in weeks)


@pytest.mark.parametrize("log", [False, True])
def test_a_scale_keeps_to_its_bounds(log):
    scale = svg.Scale(1, 100, 10, 210, log=log)
    assert [scale.at(each) for each in (0.5, 1, 100, 1000)] == [10, 10, 210, 210]
    assert scale.at(10) == pytest.approx(110 if log else 10 + 200 * 9 / 99)


def test_words_are_cut_to_their_room_and_are_never_markup():
    words = ET.fromstring(svg.text(0, 0, "<script>&" + "x" * 300, room=120)).text  # noqa: S314 -- our own output
    assert words.startswith("<script>&x")
    assert words.endswith("…")
    assert len(words) * 11 * 0.6 <= 120
    assert svg.wrapped("word " * 100, 200, 11, 2)[1].endswith(" …")
