"""Numbers, names and heads as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.judging.wording import counted, distinct, head, interval, limit_number, number, quantity, short_name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1, "1"), (12.4, "12.4"), (12.44, "12.4"), (1234.5, "1234"), (999.6, "1000"), (0.01234, "0.0123"),
        (-3.14159, "-3.14"), (100.0, "100"), (1e-7, "1e-07"), (2.5e9, "2.5e+09"), (math.inf, "infinity"),
        (-math.inf, "-infinity"), (math.nan, "not a number"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(min_value=1e-4, max_value=1e6))
def test_a_shown_number_is_close_to_the_number(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=0.006)


def test_limits_are_shown_as_written() -> None:
    assert [limit_number(each) for each in (10.0, 0.0001, 1234567.0)] == ["10", "0.0001", "1234567"]


@given(st.floats(min_value=-1e9, max_value=1e9), st.floats(min_value=-1e9, max_value=1e9))
def test_value_and_limit_read_differently_wherever_they_differ(value: float, limit: float) -> None:
    shown, bound = distinct(value, limit, "ms")
    assert (shown == bound) <= (float(limit_number(limit)) == value or value == limit)


def test_units_follow_numbers_and_counts_take_their_noun() -> None:
    assert quantity(12.4, "ms") == "12.4 ms"
    assert quantity(3, "") == "3"
    assert interval(12.1, 12.9, "ms", 0.99) == "99 % interval 12.1 to 12.9 ms"
    assert (counted(1, "sample"), counted(2, "sample")) == ("1 sample", "2 samples")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("p99 latency 12.4 ms > 10 ms (1000 samples)", "p99 latency 12.4 ms > 10 ms"),
        ("errors (5xx) 3 > 1 (2 samples (worst))", "errors (5xx) 3 > 1"),
        ("no details", "no details"),
        ("ends oddly)", "ends oddly)"),
        ("(all)", "(all)"),
        ("", ""),
    ],
)
def test_the_head_of_a_message_is_what_precedes_its_details(message: str, text: str) -> None:
    assert head(message) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Low-Latency Token Sampling (small | 32 | 1000 | 10)", "small | 32 | 1000 …"),
        ("Recovery (5 | 1)", "5 | 1"),
        ("Memory (GPU)", "Memory (GPU)"),
        ("GPU Memory Management", "GPU Memory Management"),
        ("x" * 60, "x" * 47 + "…"),
    ],
)
def test_scenarios_are_named_in_little_room(name: str, text: str) -> None:
    assert short_name(name) == text
