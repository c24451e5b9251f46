"""What can be known to be wrong with a target before anything runs is said at once, with the field and what to do."""

from __future__ import annotations

import pytest

from perfrun.api.target import TargetSpec
from perfrun.lifecycle.check_target import target_problems

SERVICE = {"name": "web"}
ALLOWED = {"allowed": True}


def problems(**spec):
    return target_problems(TargetSpec.from_wire(spec))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"service": SERVICE},
        {"service": SERVICE, "prometheus": {"url": "http://p"}},
        {"service": SERVICE | {"requestLog": {"container": "web"}}},
        {"service": SERVICE, "chaos": ALLOWED | {"windows": [{"cron": "0 2 * * mon-fri", "length": "2h"}]}},
        {"service": SERVICE, "chaos": ALLOWED | {"windows": [{"cron": "@daily", "length": "1h", "timeZone": "UTC"}]}},
        {"service": SERVICE, "chaos": ALLOWED | {"backend": "chaos-mesh", "kind": "pod-kill"}},
        {"chaos": {"backend": "litmus", "kind": "drain", "serviceAccountName": "litmus"}},
        {"load": {"deadline": "10m"}},
    ],
)  # fmt: skip
def test_a_target_that_makes_sense(spec):
    assert problems(**spec) == ()


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        ({"headers": {"X Y": "1"}}, "service.headers: 'X Y' is not the name of a header"),
        ({"headers": {"x-request-ID": "1"}}, "service.headers: x-request-ID is set by the generator"),
        ({"headers": {"A": "1\r\nB: 2"}}, "service.headers: the value of A holds a line break"),
        ({"servedByHeader": "X:"}, "service.servedByHeader: 'X:' is not the name of a header"),
        ({"sizes": {"small": {"path": "/a b"}}}, "service.sizes.small.path: '/a b' holds a blank"),
        ({"requestLog": {"container": "w", "good": "("}}, "'(' is not a regular expression: missing )"),
        ({"requestLog": {"container": "w", "good": "ok"}}, "service.requestLog.good: 'ok' has no group named id"),
    ],
)
def test_a_service_that_could_not_be_loaded(service, sentence):
    (told,) = problems(service=SERVICE | service)
    assert sentence in told


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        ({"window": "0s"}, "load.window: found 0s; expected a length of time above zero"),
        ({"window": "1ms"}, "load.window: found 1ms"),
        ({"window": "5s"}, "load.sustained: 3s is shorter than one window of 5s"),
        ({"deadline": "30s"}, "load.deadline: 30s is longer than load.step (25s)"),
        ({"backoff": "5s"}, "load.backoff: 5s is no shorter than load.deadline (5s)"),
        ({"rate": 0.05}, "load.rate: 0.05 per second gives less than one request within load.baseline (10s)"),
        ({"step": "15s"}, "load.step: 15s is less than 4 times prometheus.step (5s)"),
    ],
)
def test_a_load_that_could_tell_nothing(load, sentence):
    (told,) = problems(service=SERVICE, load=load, prometheus={"url": "http://p"})
    assert sentence in told


@pytest.mark.parametrize(
    ("chaos", "sentence"),
    [
        ({"backend": "litmus"}, "chaos.backend: litmus cannot do isolate"),
        ({"backend": "chaos-mesh", "kind": "drain"}, "chaos.backend: chaos-mesh cannot do drain"),
        ({"backend": "litmus", "kind": "drain"}, "chaos.serviceAccountName: Litmus runs its experiments as"),
        ({"maxDuration": "0s"}, "chaos.maxDuration: found 0"),
        ({"maxDuration": "2h"}, "2h is longer than any fault agent agrees to; expected at most 60m"),
        ({"windows": [{"cron": "* * * *", "length": "1h"}]}, "chaos.windows[0]: cron expression '* * * *' has 4"),
        ({"windows": [{"cron": "0 0 30 2 *", "length": "1h"}]}, "chaos.windows[0]: cron expression '0 0 30 2 *' never"),
        ({"windows": [{"cron": "@daily", "length": "1h", "timeZone": "Mars"}]}, "chaos.windows[0]: time zone 'Mars'"),
        ({"windows": [{"cron": "@daily", "length": "0s"}]}, "chaos.windows[0]: length: found 0"),
        (ALLOWED | {"maxNodes": 0}, "chaos.allowed is true, but chaos.maxNodes is 0"),
        (ALLOWED | {"maxShare": 0}, "chaos.allowed is true, but chaos.maxShare is 0"),
    ],
)  # fmt: skip
def test_faults_that_could_never_happen(chaos, sentence):
    (told,) = problems(service=SERVICE, chaos=chaos)
    assert sentence in told


def test_faults_need_something_whose_nodes_fail():
    (told,) = problems(chaos=ALLOWED)
    assert "there is no service whose nodes could fail" in told


def test_everything_that_is_wrong_is_told_at_once():
    metric = {"name": "x", "query": "up", "unit": "parsec"}
    told = problems(metrics=[metric, metric], service=SERVICE, chaos={"backend": "litmus", "maxDuration": "0s"})
    assert len(told) == 5


SELECTED = {"series": ["up"]}


@pytest.mark.parametrize(
    "spec",
    [
        {"telemetry": {"metrics": {"Queue depth": SELECTED, "CPU utilization": SELECTED}}},
        {"service": SERVICE, "telemetry": {"metrics": {"Queue": SELECTED | {"per": "pod"}}}},
        {"forecast": {"metrics": {"Orders": {"query": "sum(rate(orders[$window]))", "unit": "1/s"}}}},
        {"forecast": {"resources": {"pool": {"utilization": "used / size"}}, "deployments": "count(version)"}},
    ],
)
def test_histories_that_can_be_read(spec):
    assert problems(**spec) == ()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"telemetry": {"metrics": {"CPU use": SELECTED, "cpu-use": SELECTED}}},
            "telemetry.metrics: 'CPU use' and 'cpu-use' differ only in case or signs",
        ),
        ({"telemetry": {"metrics": {"%": SELECTED}}}, "telemetry.metrics: '%' has no letter or digit"),
        (
            {"telemetry": {"metrics": {"CPU": {"series": ["rate(x[$window])"]}}}},
            "telemetry.metrics.CPU.series: 'rate(x[$window])' holds a variable",
        ),
        ({"telemetry": {"metrics": {"Queue": SELECTED | {"per": "pod"}}}}, "telemetry.metrics.Queue.per: pod means"),
        ({"forecast": {"lookback": "0s"}}, "forecast.lookback: found 0"),
        ({"forecast": {"metrics": {"A": {"query": "x[$span]"}}}}, "forecast.metrics.A: "),
        ({"forecast": {"metrics": {"A": {"query": "x", "unit": "furlongs"}}}}, "forecast.metrics.A.unit: 'furlongs'"),
        ({"forecast": {"metrics": {"A b": {"query": "x"}, "a.b": {"query": "x"}}}}, "forecast.metrics: 'A b' and"),
        (
            {"forecast": {"resources": {"pool": {"utilization": "x", "errors": "y[$rate]"}}}},
            "forecast.resources.pool.errors: ",
        ),
        ({"forecast": {"deployments": "x[$d]"}}, "forecast.deployments: "),
        ({"forecast": {"concurrency": "x[$d]"}}, "forecast.concurrency: "),
    ],
)  # fmt: skip
def test_histories_that_could_not_be_read(spec, sentence):
    (told,) = problems(**spec)
    assert sentence in told


@pytest.mark.parametrize(
    ("memory", "sentence"),
    [
        ({"soak": "0s"}, "memory.soak: found 0"),
        (
            {"blocks": 100},
            "memory.blocks: 100 blocks of 16 tokens are fewer than one batch may need; give at least 141",
        ),
        ({"batchSize": 1024}, "or make batchSize smaller"),
    ],
)
def test_a_pipeline_that_could_not_be_kept_under_way(memory, sentence):
    (problem,) = problems(memory=memory)
    assert sentence in problem


def test_a_claim_of_gpus_that_no_pod_would_make():
    (problem,) = problems(pods={"resourceClaimTemplate": "one-h100"})
    assert problem.startswith("pods.resourceClaimTemplate names a claim of GPUs, but pods.gpus is 0")
    assert problems(pods={"resourceClaimTemplate": "one-h100", "gpus": 1}) == ()
