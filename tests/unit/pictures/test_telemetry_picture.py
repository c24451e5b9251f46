"""The picture of what was recorded: what is missing is seen where it is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfrun_kernels.pictures import svg, telemetry
from perfrun_kernels.pictures.values import RecordedRow, RecordedSeries, Recording, Stretch

START, HOUR, WEEK = 1.79e9, 3600.0, 7 * 86_400.0


def series(name="node-1", every=15.0, without=(), judged="good"):
    times = np.arange(START, START + HOUR, every)
    for start, end in without:
        times = times[(times < START + start) | (times > START + end)]
    apart = np.diff(times) if times.size > 1 else np.array([np.nan])
    gaps = tuple(Stretch(float(times[i]), float(times[i + 1])) for i in np.flatnonzero(apart > 1.5 * every))
    return RecordedSeries(
        name, times, float(np.median(apart)), float(np.quantile(apart, 0.99)), float(apart.max()),
        times.size * every / HOUR, gaps, judged,
    )  # fmt: skip


def row(*found, stated=15.0, judged="good", **given):
    return RecordedRow("CPU utilization", "In words.", stated, WEEK, judged, tuple(found), **given)


def draw(*rows):
    return telemetry.draw(Recording("Title", "Below", START, START + HOUR, rows))


def strips(drawn, colour):
    """Return start and end of the boxes of a colour in the window, in seconds after its start."""
    left, right = telemetry._STRIP, telemetry._STRIP_END
    boxes = [
        (float(each.get("x")), float(each.get("width")))
        for each in drawn.all("rect", fill=colour, height=f"{telemetry._BAR:.1f}")
    ]
    return [((x - left) / (right - left) * HOUR, (x + width - left) / (right - left) * HOUR) for x, width in boxes]


def test_a_gap_is_drawn_where_it_is(read):
    drawn = read(draw(row(series(without=[(700, 970)]), judged="bad")))
    found = [(start, end) for start, end in strips(drawn, svg.RED) if end - start > 100]
    assert found[-1] == pytest.approx((690, 975), abs=10)
    assert any(tip.startswith("4.75 min without a sample") for tip in drawn.tips() if tip)


def test_a_full_series_shows_no_red_and_one_at_half_the_rate_no_blue(read):
    assert not strips(read(draw(row(series()))), svg.RED)
    slow = read(draw(row(series(every=30.0, judged="bad"), oldest=WEEK)))
    blue = [each for each in strips(slow, svg.SKY) if each[1] - each[0] > 200]
    assert len(blue) == 1  # how long it is kept


def test_all_is_said_of_the_interval_and_of_what_is_there(read):
    drawn = read(draw(row(series(without=[(0, 1)]), configured=2 * WEEK, oldest=WEEK + 3600)))
    assert "15 s · 99.5 %" in drawn.words()
    assert "stated: every 15 s, kept 7 d" in drawn.words()
    assert "oldest sample 7.04 d ago; server keeps 14 d" in drawn.words()
    assert "15 s · 100 %" in read(draw(row(series()))).words()


def test_the_worst_of_many_series_are_shown(read):
    many = [series(f"node-{number}") for number in range(40)]
    many[33] = series("node-33", without=[(100, 200)], judged="bad")
    many[21] = series("node-21", without=[(100, 150)])
    drawn = read(draw(row(*many, missing=tuple(f"gone-{number}" for number in range(12)))))
    shown = [each for each in drawn.words() if each.startswith("node-")]
    assert shown[:4] == ["node-33", "node-21", "node-0", "node-1"]
    assert len(shown) == telemetry.MOST_SERIES
    assert "32 more series, none worse than these" in drawn.words()
    assert "4 more have no series" in drawn.words()


def test_a_week_of_many_series_makes_no_large_file():
    week = np.arange(START, START + WEEK, 15.0)
    many = [RecordedSeries(f"node-{n}", week, 15.0, 15.1, 16.0, 1.0) for n in range(50)]
    text = telemetry.draw(Recording("T", "S", START, START + WEEK, (row(*many),)))
    assert len(text) < 100_000


def test_what_nobody_knows_is_said(read):
    drawn = read(draw(row(judged="unknown")))
    assert "no sample seen; retention unknown" in drawn.words()
    single = series(every=HOUR)
    assert single.times.size == 1
    assert any(each.startswith("one sample · ") for each in read(draw(row(single))).words())


def test_names_are_never_markup(read):
    drawn = read(draw(row(series("<b>&\"'"), missing=("</svg>",))))
    assert "</svg>" in drawn.words()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 4000), st.floats(0, 3600), st.floats(0, 3600)), max_size=10),
    st.floats(0.1, 3600),
    st.integers(0, 20),
    st.sampled_from([None, 1.0, WEEK, 1e9]),
)  # fmt: skip
def test_nothing_leaves_the_page(read, found, stated, missing, oldest):
    many = [series(f"n{number}" * 20, every, [sorted(gap)]) for number, (every, *gap) in enumerate(found)]
    many = [each for each in many if each.times.size]
    text = draw(row(*many, stated=stated, missing=tuple("m" * 99 for _ in range(missing)), oldest=oldest))
    assert "nan" not in text
    assert not read(text).outside()
