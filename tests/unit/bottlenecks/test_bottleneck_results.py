"""A ranking in words, numbers and a picture."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from saturating import STEP, daily, moments, used

from perfrun_kernels.arguments import Arguments
from perfrun_kernels.bottlenecks import main, reading
from perfrun_kernels.bottlenecks.values import Missing, Wanted
from perfrun_kernels.contract import Result
from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.prometheus import RawSeries

START = 1.79e9 // STEP * STEP


class Server:
    """Answers queries from what it was given; a reason instead of series is raised."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def range(self, query, start, end, step):
        self.asked.append(query)
        found = self.answers.get(query.partition("(")[0], [])
        if isinstance(found, str):
            raise UnmeasurableError(found, "the server said no")
        return [RawSeries(labels, START + moments()[: values.size], values) for labels, values in found]


def on(node):
    return {"__name__": "use", "instance": node}


@pytest.fixture
def x():
    return daily(np.random.default_rng(3))


@pytest.fixture
def served(x):
    rng = np.random.default_rng(4)
    return {
        "rps": [({}, x)], "latency": [({}, 0.01 + x / 2e5)],
        "cpu": [(on("node-1"), used(x, 2000, rng)), (on("node-2"), used(x, 1500, rng))],
        "net": [(on("node-1"), used(x, 5000, rng))], "memory": [({}, 0.5 + 0.01 * rng.standard_normal(x.size))],
        "drops": [(on("node-2"), np.full(x.size, 3.0))],
    }  # fmt: skip


QUERIES = {
    "CPU": main.Resource("cpu([$window])", "drops"), "network": main.Resource("net"), "memory": main.Resource("memory"),
}  # fmt: skip


def rank(server, resources=QUERIES, throughput="rps", latency="latency", concurrency=""):
    return main.rank(server, Wanted(resources, throughput, latency, concurrency), START, START + moments()[-1])


def test_the_first_sentence_names_the_resource_that_saturates_first(served):
    ranking = rank(Server(**served))
    scalars, facts, tables = main.results(ranking)
    assert facts["bottleneck"].startswith("CPU (node-2) saturates first, at 1.5k/s (")
    assert facts["bottleneck"].endswith("before all others in 100 % of resamples")
    assert [facts[f"bottleneck.{rank}"] for rank in (1, 2, 3)] == ["CPU (node-2)", "network (node-1)", "memory"]
    assert "work waits 100 % of the time (3 on average)" in facts["bottlenecks"]
    assert "far beyond what was seen" in facts["bottlenecks"]
    assert scalars["bottleneck.1.full_at.lower"].value < 1500 < scalars["bottleneck.1.full_at.upper"].value
    assert scalars["bottleneck.3.full_at"].value is None
    assert len(tables["bottlenecks"].rows) == 3


def test_all_of_it_fits_into_a_result(served):
    scalars, facts, tables = main.results(rank(Server(**served)))
    result = Result("r", "s", 1, "Completed", 0, 1, scalars=scalars, facts=facts, tables=tables)
    assert Result.from_json(result.to_json()) == result


def test_the_time_between_points_is_put_into_queries(served):
    server = Server(**served)
    rank(server)
    assert "cpu([300s])" in server.asked


@pytest.mark.parametrize(
    "reason", ["MetricsUnavailable", "MetricsTimeout", "MetricsLimited", "MetricsMalformed", "BadQuery"]
)
def test_a_query_that_fails_leaves_its_reason_and_stops_nothing(served, reason):
    ranking = rank(Server(**served | {"net": reason}))
    assert [(each.name, each.standing) for each in ranking.resources][-1] == ("network", "unknown")
    assert ranking.resources[-1].missing.reason == reason
    assert ranking.resources[0].full_at is not None


def test_a_server_that_says_nothing_at_all_is_told_in_every_place():
    ranking = rank(Server(**dict.fromkeys(("rps", "latency", "cpu", "net", "memory"), "MetricsUnavailable")))
    _, facts, tables = main.results(ranking)
    assert facts["bottleneck"].startswith("no bottleneck can be named: ")
    assert facts["usl"].startswith("scaling is not known: throughput: the server said no")
    assert tables == {}
    assert main.draw(ranking).startswith("<svg")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rps": []}, "NoSuchMetric"),
        ({"rps": [({}, -np.ones(2016))]}, "NegativeRate"),
        ({"rps": [({}, np.full(2016, np.nan))]}, "NoSuchMetric"),
        ({"rps": [(on("a"), np.ones(2016)), (on("b"), np.ones(2016))]}, "TooManySeries"),
        ({"rps": [({}, np.full(2016, 300.0))]}, "LoadTooEven"),
        ({"rps": [({}, np.array([1.0, 2.0, 3.0]))]}, "TooFewPoints"),
    ],
)
def test_throughput_that_tells_nothing_leaves_the_ranking_to_use(served, changed, reason):
    ranking = rank(Server(**served | changed))
    assert {each.missing.reason for each in ranking.resources} == {reason}
    assert isinstance(ranking.law, Missing)
    assert all(each.full_at is None for each in ranking.resources)


@pytest.mark.parametrize("use", [np.full(2016, 87.0), np.full(2016, -0.2)])
def test_percentages_are_no_ratios(served, use):
    ranking = rank(Server(**served | {"net": [({}, use)]}))
    assert ranking.resources[-1].missing.reason == "NoRatio"


def test_no_query_is_a_reason_too(served):
    ranking = rank(Server(**served), latency="")
    assert ranking.law.reason == "NoQuery"
    assert rank(Server(**served), throughput="").resources[0].missing.reason == "NoQuery"


def test_concurrency_is_throughput_times_time_unless_it_is_measured(served, x):
    assert np.allclose(rank(Server(**served)).concurrency, x * (0.01 + x / 2e5))
    measured = rank(Server(**served, inflight=[({}, np.full(x.size, 9.0))]), concurrency="inflight")
    assert np.all(measured.concurrency == 9)


def test_what_a_saturation_query_lacks_is_kept_apart(served):
    ranking = rank(Server(**served | {"drops": "BadQuery"}))
    assert [each.reason for each in ranking.resources[0].partly] == ["BadQuery"]
    assert ranking.resources[0].standing == "growing"


def test_series_of_one_instance_count_as_their_larger_one(x):
    two = [({"instance": "a", "device": "sda", "job": job}, use) for job, use in (("x", x / 5000), ("y", x / 2000))]
    found = reading.read(
        Server(disk=two), Wanted({"disk": main.Resource("disk")}, ""), START, START + moments()[-1], STEP
    )
    [curve] = found.resources[0].use
    assert curve.instance == "a/sda"
    assert np.allclose(curve.values, x / 2000)


def test_first_places_that_are_not_sure_name_the_others(served, x):
    rng = np.random.default_rng(9)
    alike = [(on("node-1"), used(x, 1505, rng, noise=0.03))]
    _, facts, _ = main.results(
        rank(Server(**served | {"net": alike, "cpu": [(on("node-2"), used(x, 1500, rng, noise=0.03))]}))
    )
    assert "; it may as well be " in facts["bottleneck"]


def test_arguments_are_read_and_wrong_ones_are_told():
    given = Arguments({"resources": {"CPU": {"utilization": "u", "saturation": "s"}}, "throughput": "x"})
    wanted = main.read(given)
    given.finish()
    assert wanted == Wanted({"CPU": main.Resource("u", "s")}, "x", "", "", 0.99)
    wrong = Arguments({"resources": {"CPU": {"saturation": "s"}}})
    main.read(wrong)
    with pytest.raises(ParametersError, match=r"CPU\.utilization is None; expected a query"):
        wrong.finish()


def test_the_picture_shows_the_ranking_its_lines_and_the_law(served):
    ranking = rank(Server(**served))
    picture = main.draw(ranking)
    for words in (
        "CPU (node-2)",
        "network (node-1)",
        "does not grow with throughput",
        "first: 100 %",
        "requests in flight",
    ):
        assert words in picture
    assert "nan" not in picture
    gone = attrs.evolve(ranking.resources[0], name="<b>", standing="unknown", missing=Missing("NoSuchMetric", "a < b"))
    assert "a &lt; b" in main.draw(attrs.evolve(ranking, resources=(gone,)))
    assert "none was asked for" in main.draw(attrs.evolve(ranking, resources=()))
