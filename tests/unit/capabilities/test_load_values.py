"""Load balancing, measured on synthetic loads: every verdict that it can give, and every reason for none."""

import attrs
import pytest
from loads import START, Happening, at, changed

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.api.run import TimeWindow
from perfrun.capabilities.base import Evidence, NotMeasured, QueryAnswer
from perfrun.capabilities.cpu import CPU_QUERY, POINTS
from perfrun.capabilities.load import Load
from perfrun.judging.judge import judge

LOAD = Happening(rate=2000, segments=(10.0, 25.0))
PARAMETERS = {"segment": 1, "begins": 10.0, "ends": 35.0, "latency_limit": 0.1, "sustained": True}


def claim(key, limit, unit="%", **parameters):
    return Claim(
        subject=f"load.{key}", label=key, comparator="<", limit=limit, unit=unit, stage="s1-load",
        parameters=PARAMETERS | parameters,
    )  # fmt: skip


DIFFERENCE = claim("difference", 10)
P95 = claim("response_time", 100, "ms", quantile=0.95)
CPU = claim("cpu", 70)


def judged(said, evidence, confidence=0.99):
    measured = Load().measure(said, evidence, confidence)
    return measured, judge(said, measured, Policy(), confidence)


def told(said, evidence):
    measured, judgement = judged(said, evidence)
    return judgement.verdict.value, judgement.reason, measured


def busy_after(second, latency):
    return lambda now: {"latency": latency} if now >= second else {}


@pytest.mark.parametrize(
    ("load", "verdict", "reason"),
    [
        (LOAD, "Pass", "LimitMet"),
        (attrs.evolve(LOAD, shards=2), "Pass", "LimitMet"),
        (attrs.evolve(LOAD, nodes=20, rate=20_000), "Pass", "LimitMet"),
        (attrs.evolve(LOAD, weights=(1.3, 1, 1, 1, 0.9)), "Fail", "LimitExceeded"),
        (attrs.evolve(LOAD, weights=(1, 1, 1, 1, 0)), "Fail", "LimitExceeded"),
        (attrs.evolve(LOAD, weights=(1.05, 1, 1, 1, 0.97)), "Inconclusive", "IntervalSpansLimit"),
        (attrs.evolve(LOAD, rate=200), "Inconclusive", "IntervalSpansLimit"),
        (attrs.evolve(LOAD, together=20), "Inconclusive", "IntervalSpansLimit"),
    ],
    ids=["even", "two shards", "twenty nodes", "skewed", "one idle", "near the limit", "few requests", "clusters"],
)
def test_the_difference_between_nodes(load, verdict, reason):
    assert told(DIFFERENCE, load.evidence())[:2] == (verdict, reason)


def test_a_difference_tells_who_did_most_and_least_and_what_it_is_worth():
    measured, judgement = judged(DIFFERENCE, attrs.evolve(LOAD, weights=(1.3, 1, 1, 1, 0.9)).evidence())
    assert "node-0 answered" in judgement.message
    assert "node-4" in judgement.message
    assert measured.samples == sum(measured.facts["answers_by_node"].values())
    assert (measured.window.start, measured.window.end) == (at(10), at(35))
    assert measured.source.name == "r-s1-load-1"


def test_a_serving_node_that_answered_nothing_counts():
    evidence = LOAD.evidence()
    idle = evidence.serving[0].model_copy(update={"node": "node-9", "pods": ("web-9",)})
    measured, _ = judged(DIFFERENCE, attrs.evolve(evidence, serving=(*evidence.serving, idle)))
    assert measured.facts["answers_by_node"]["node-9"] == 0
    assert measured.value > 100


def test_clustered_answers_are_worth_fewer_and_it_is_said_how_many():
    measured, judgement = judged(DIFFERENCE, attrs.evolve(LOAD, together=20).evidence())
    assert measured.effective_samples < measured.samples / 10
    assert "clusters of " in judgement.message


@pytest.mark.parametrize(
    ("rename", "reason", "said"),
    [
        (lambda name: "served:", "UnknownServers", "do not say which server gave them"),
        (lambda name: f"{name}.other", "UnknownServers", "which are no pods or nodes of the Service"),
        (lambda name: name.replace("web", "node"), "", ""),
    ],
    ids=["no header", "other names", "names of nodes"],
)
def test_servers_are_known_by_the_name_of_their_pod_or_node(rename, reason, said):
    whole = LOAD.result()
    table = whole.tables["windows"]
    columns = [rename(name) if name.startswith("served:") else name for name in table.columns]
    if reason and rename("served:web-0") == "served:":
        # Answers that name nobody are one column.
        rows = [[*row[:6], sum(row[6:])] for row in table.rows]
        columns = [*columns[:6], "served:"]
    else:
        rows = table.rows
    shard = changed(whole, tables={**whole.tables, "windows": type(table)(columns, rows)})
    measured, _ = judged(DIFFERENCE, LOAD.evidence(shards=(shard,)))
    assert (measured.reason if isinstance(measured, NotMeasured) else "") == reason
    assert said in getattr(measured, "message", "")


def test_a_difference_takes_two_nodes():
    evidence = LOAD.evidence()
    one = attrs.evolve(evidence, serving=evidence.serving[:1])
    assert told(DIFFERENCE, one)[:2] == ("Inconclusive", "NotEnoughNodes")
    assert told(DIFFERENCE, attrs.evolve(evidence, serving=()))[:2] == ("Inconclusive", "NotEnoughNodes")


def test_nothing_answered_is_no_difference():
    failed = LOAD.evidence(lambda now: {"error": 10_000})
    assert told(DIFFERENCE, failed)[:2] == ("Inconclusive", "NoGoodAnswers")


@pytest.mark.parametrize(
    ("load", "shape", "verdict", "reason"),
    [
        (LOAD, lambda _: {}, "Pass", "LimitMet"),
        (attrs.evolve(LOAD, latency=0.05), lambda _: {}, "Fail", "LimitExceeded"),
        (attrs.evolve(LOAD, latency=0.0333), lambda _: {}, "Inconclusive", "IntervalSpansLimit"),
        (LOAD, lambda now: {"latency": 0.001 + 0.0008 * max(0, now - 10)}, "Inconclusive", "NoSteadyState"),
        (LOAD, lambda now: {"latency": 0.001 + 0.00001 * max(0, now - 10)}, "Pass", "LimitMet"),
        (LOAD, lambda now: {"latency": 0.001 + 0.02 * max(0, now - 10)}, "Fail", "LimitExceeded"),
        (LOAD, lambda now: {"error": 20}, "Fail", "LimitExceeded"),
        (LOAD, lambda now: {"never_sent": 20}, "Fail", "LimitExceeded"),
        (attrs.evolve(LOAD, rate=20, segments=(10.0, 3.0)), lambda _: {}, "Inconclusive", "TooFewSamples"),
    ],
    ids=[
        "fast",
        "slow",
        "near",
        "rising",
        "rising far below",
        "rising beyond",
        "a tenth fails",
        "a tenth finds no connection",
        "few",
    ],
)
def test_response_time(load, shape, verdict, reason):
    said = claim("response_time", 100, "ms", quantile=0.95, ends=sum(load.segments))
    assert told(said, load.evidence(shape))[:2] == (verdict, reason)


def test_a_freeze_of_the_server_shows_and_makes_samples_worth_fewer():
    calm, _ = judged(P95, LOAD.evidence())
    frozen, _ = judged(P95, LOAD.evidence(lambda now: {"latency": 0.5} if 20 <= now < 22 else {}))
    assert frozen.value > 10 * calm.value
    assert frozen.effective_samples < calm.effective_samples / 10


def test_what_must_stay_below_counts_from_the_start_and_what_must_be_below_without_its_warm_up():
    def warm(now):
        return {"latency": 0.4} if now < 13 else {}

    stays, verdict = judged(P95, LOAD.evidence(warm))
    assert (verdict.verdict.value, stays.facts["warm_up_seconds"]) == ("Inconclusive", 0)
    assert stays.value > 300
    settles, verdict = judged(claim("response_time", 100, "ms", quantile=0.95, sustained=False), LOAD.evidence(warm))
    assert verdict.verdict.value == "Pass"
    assert 3 <= settles.facts["warm_up_seconds"] < 8
    assert settles.facts["with_warm_up_ms"] == pytest.approx(stays.value, rel=1e-3)
    assert "of warm-up" in verdict.message
    assert settles.window.start > at(12.9)


def test_nothing_that_ended_is_no_response_time():
    idle = Happening(rate=2000, segments=(10.0, 25.0)).result()
    empty = attrs.evolve(LOAD, rate=0).result()
    shard = changed(idle, histograms={**idle.histograms, "latency.1": empty.histograms["latency.1"]})
    assert told(P95, LOAD.evidence(shards=(shard,)))[:2] == ("Inconclusive", "NoSamples")


def without(result, name):
    return changed(result, histograms={key: each for key, each in result.histograms.items() if key != name})


GOOD = LOAD.result()


@pytest.mark.parametrize(
    ("evidence", "verdict", "reason", "said"),
    [
        (Evidence(), "Inconclusive", "NoResult", "left no result"),
        (Evidence(lost_reason="NoEndpoints", lost_message="none is ready"), "Inconclusive", "NoEndpoints", "none"),
        (Evidence(lost_reason="Nonsense", lost_message="x", broken=True), "Error", "Nonsense", "x"),
        (
            LOAD.evidence(shards=(changed(GOOD, outcome="Unmeasurable", reason="NoGenerator", message="none"),)),
            "Inconclusive", "NoGenerator", "none",
        ),
        (
            LOAD.evidence(shards=(changed(GOOD, outcome="Failed", reason="GeneratorFailed", message="crashed"),)),
            "Error", "GeneratorFailed", "crashed",
        ),
        (LOAD.evidence(shards=(changed(GOOD, facts={"shards": 2}),)), "Inconclusive", "ShardsMissing", "1 of 2"),
        (LOAD.evidence(shards=(changed(GOOD, facts={"stopped": True}),)), "Inconclusive", "LoadStopped", "stopped"),
        (
            LOAD.evidence(shards=(changed(GOOD, scalars={"ledger.ok": 7}),)),
            "Error", "LedgerOpen", "the ledger does not close",
        ),
        (LOAD.evidence(shards=(changed(GOOD, scalars={"ledger.ok": None}),)), "Error", "LedgerOpen", "ledger.ok"),
        (
            LOAD.evidence(shards=(changed(GOOD, facts={"shards": 2}), changed(GOOD, started=START + 0.3))),
            "Inconclusive", "ShardsApart", "give all shards one start",
        ),
        (LOAD.evidence(shards=(without(GOOD, "latency.1"),)), "Error", "MalformedResult", "'latency.1'"),
        (LOAD.evidence(shards=(without(GOOD, "lateness.1"),)), "Error", "MalformedResult", "'lateness.1'"),
    ],
    ids=[
        "nothing", "lost", "broken", "unmeasurable", "failed", "missing", "stopped", "open", "no figure", "apart",
        "no latencies", "no lateness",
    ],
)  # fmt: skip
def test_what_is_no_whole_load_measures_nothing(evidence, verdict, reason, said):
    found = told(P95, evidence)
    assert found[:2] == (verdict, reason)
    assert said in found[2].message


@pytest.mark.parametrize(
    ("load", "shape", "said"),
    [
        (attrs.evolve(LOAD, lateness=0.006), lambda _: {}, "its lateness p99 was 6"),
        (LOAD, lambda now: {"never_sent": 6}, "went out, less than 99 %"),
    ],
    ids=["late", "short"],
)
@pytest.mark.parametrize("key", [DIFFERENCE, P95, CPU], ids=["difference", "response time", "cpu"])
def test_a_saturated_generator_says_nothing_about_servers(load, shape, said, key):
    whole = load.result(shape)
    own = changed(
        whole, facts={"error.never sent: all connections were busy": 0, "error.never sent: no port is left": 6}
    )
    answer = cpu_answer({"node-0": 1.0})
    measured, judgement = judged(key, load.evidence(shards=(own,), answer=answer))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "GeneratorSaturated")
    assert "generator saturated at" in judgement.message
    assert said in judgement.message
    assert measured.facts["achieved_per_second"] > 0
    assert measured.facts["errors"] == {"never sent: no port is left": 6}


def test_shards_that_saturate_say_what_they_can_offer_together():
    shards = tuple(
        changed(GOOD, outcome="Unmeasurable", reason="GeneratorSaturated", message="m", facts={"offerable_rate": 800.0})
        for _ in range(2)
    )
    measured, _ = judged(P95, LOAD.evidence(shards=shards))
    assert measured.message == "m (2 generators can offer 1600/s together)"


def cpu_answer(used, points=5, labels='{{instance="10.0.0.1:10250", node="{node}"}}', error=""):
    series = {labels.format(node=node): ((START + 35, cores),) for node, cores in used.items()}
    counts = {f'{{node="{node}", what="{POINTS}"}}': ((START + 35, float(points)),) for node in used}
    return QueryAnswer(
        query=CPU_QUERY, window=TimeWindow(start=at(10), end=at(35)), series=series | counts, error=error,
        url="http://prometheus",
    )  # fmt: skip


EVEN = {f"node-{n}": 1.0 for n in range(5)}


@pytest.mark.parametrize(
    ("answer", "verdict", "reason", "said"),
    [
        (cpu_answer(EVEN), "Pass", "LimitMet", "cpu 50 % < 70 % (5 samples, node-0 used 1.00 of 2.00 cores)"),
        (cpu_answer(EVEN | {"node-3": 1.5}), "Fail", "LimitExceeded", "node-3 used 1.50 of 2.00 cores"),
        (
            cpu_answer({"node-0": 1.0, "node-1": 1.0}), "Inconclusive", "TooFewSamples",
            "no data of node-2, node-3, node-4",
        ),
        (cpu_answer({"node-0": 1.6}), "Fail", "LimitExceeded", "no data of node-1"),
        (cpu_answer({"node-0": -3.0}), "Inconclusive", "NoData", "no CPU of any of the 5 serving nodes"),
        (cpu_answer({"other": 1.0}), "Inconclusive", "NoData", "no CPU of any"),
        (cpu_answer({}), "Inconclusive", "NoData", "no CPU of any"),
        (cpu_answer({}, error="it is down"), "Inconclusive", "MetricsUnavailable", "it is down"),
        (cpu_answer(EVEN, labels='{{instance="{node}:10250"}}'), "Pass", "LimitMet", "50 %"),
        (cpu_answer(EVEN, labels='{{instance="{node}"}}'), "Pass", "LimitMet", "50 %"),
        (cpu_answer(EVEN, labels='{{kubernetes_io_hostname="{node}"}}'), "Pass", "LimitMet", "50 %"),
        (None, "Inconclusive", "NoAnswer", "never answered"),
    ],
    ids=[
        "idle", "busy", "some missing", "missing and busy", "reset", "other nodes", "none", "down", "by instance",
        "by name", "by host name", "not asked",
    ],
)  # fmt: skip
def test_cpu_is_that_of_the_busiest_serving_node(answer, verdict, reason, said):
    _, judgement = judged(CPU, LOAD.evidence(answer=answer))
    assert (judgement.verdict.value, judgement.reason) == (verdict, reason)
    assert said in judgement.message


def test_cpu_tells_its_query_and_window():
    measured, _ = judged(CPU, LOAD.evidence(answer=cpu_answer(EVEN)))
    assert (measured.source.kind, measured.source.query) == ("Prometheus", CPU_QUERY)
    assert measured.facts["cpu_by_node"]["node-1"] == 0.5


def test_cpu_without_the_books_of_its_load_is_no_evidence():
    _, judgement = judged(CPU, Evidence(answer=cpu_answer(EVEN)))
    assert (judgement.verdict.value, judgement.reason) == ("Inconclusive", "NoResult")
