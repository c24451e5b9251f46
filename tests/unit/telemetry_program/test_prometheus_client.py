"""Reading a real Prometheus, and every way in which it may not answer."""

from __future__ import annotations

import http.server
import json
import threading
import time

import numpy as np
import pytest
from historybed import series as made
from historybed.series import HOUR, Series, Shape

from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.prometheus import RawSeries, Server
from perfrun_kernels.prometheus.asking import Asker, refusal
from perfrun_kernels.prometheus.client import MOST_POINTS, grid
from perfrun_kernels.prometheus.series import parse


@pytest.fixture
def now():
    return float(int(time.time()) // 60 * 60)


@pytest.fixture
def load(now, rng):
    times = made.grid(now - 4 * HOUR, now, 1.0)
    return made.gauge({"__name__": "load", "node": 'a"b\\c'}, times, Shape(1.0), rng)


def test_raw_samples_come_once_each_however_they_are_cut(prometheus, load, now):
    # Few samples for one query: no chunk of the first size fits.
    server = Server(prometheus(load, flags=["--query.max-samples=1500"]).url)
    (found,) = server.raw("load", now - 4 * HOUR - 1, now)
    assert found.times == pytest.approx(load.times)
    assert found.values == pytest.approx(load.values)
    assert found.selector() == 'load{node="a\\"b\\\\c"}'
    assert server.instant(found.selector(), now)[0].values == pytest.approx([load.values[-1]])


def test_raw_leaves_out_the_start_and_takes_the_end(prometheus, load, now):
    (found,) = Server(prometheus(load).url).raw("load", now - 20, now - 10)
    assert found.times.tolist() == [now - 9 - each for each in range(10, 0, -1)]


def test_ranges_longer_than_the_servers_limit_are_cut(prometheus, load, now):
    server = Server(prometheus(load).url)
    (found,) = server.range("load", now - 4 * HOUR, now - 1, 1.0)
    assert found.times.size == 4 * HOUR > MOST_POINTS
    assert found.values == pytest.approx(load.values)
    with pytest.raises(UnmeasurableError) as caught:
        server._query("/api/v1/query_range", {"query": "load", "start": "0", "end": "20000", "step": "1"})
    assert caught.value.reason == "MetricsLimited"


def test_the_grid_is_that_of_the_step():
    assert list(grid(1003, 1061, 15)) == [(1005, 1050)]
    assert list(grid(1005, 1065, 15)) == [(1005, 1065)]
    assert list(grid(1006, 1014, 15)) == []
    chunks = list(grid(0, 25_000, 1))
    assert chunks == [(0, 9_999), (10_000, 19_999), (20_000, 25_000)]


def test_nan_and_infinity_stay_what_they_are(prometheus, now):
    times = np.array([now - 30, now - 20, now - 10])
    odd = Series({"__name__": "odd"}, times, np.array([np.nan, np.inf, -1.0]))
    (found,) = Server(prometheus(odd).url).raw("odd", now - 60, now)
    assert np.array_equal(found.values, odd.values, equal_nan=True)


def test_a_scalar_and_a_vector_are_series_of_one_sample(prometheus, load, now):
    server = Server(prometheus(load).url)
    assert server.instant("2 * 3", now)[0].values.tolist() == [6]
    assert server.now() == pytest.approx(time.time(), abs=5)
    assert server.instant("nothing_of_the_kind") == []


def test_native_histograms_count():
    data = {"resultType": "matrix", "result": [{"metric": {"a": "b"}, "histograms": [[5, {"count": "7", "sum": "1"}]]}]}
    (found,) = parse(data)
    assert (found.times.tolist(), found.values.tolist()) == ([5], [7])


def test_a_server_tells_of_itself(prometheus):
    server = Server(
        prometheus(retention="7d", scrape=[{"job_name": "x", "static_configs": [{"targets": ["a:1"]}]}]).url
    )
    assert server.runtime()["storageRetention"] == "1w"
    assert server.flags()["query.lookback-delta"] == "5m"
    assert server.build()["version"]
    assert "headStats" in server.tsdb()
    assert "job_name: x" in server.config()
    assert [each["labels"] for each in server.targets()] == [{"instance": "a:1", "job": "x"}]
    assert "prometheus_build_info" in server.own_metrics()


def test_what_is_no_query_is_the_targets_fault(prometheus):
    with pytest.raises(UnmeasurableError, match=r"parse error.*correct the query") as caught:
        Server(prometheus().url).instant("up{")
    assert caught.value.reason == "BadQuery"


def test_long_queries_are_sent_as_a_form(prometheus):
    assert Server(prometheus().url).instant(" + ".join(["1"] * 1000))[0].values.tolist() == [1000]


@pytest.mark.parametrize("url", ["localhost:9090", "file:///etc/passwd", ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ParametersError, match="http://"):
        Server(url)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (503, {"errorType": "timeout", "error": "query timed out in expression evaluation"}, "MetricsTimeout"),
        (422, {"errorType": "execution", "error": "query processing would load too many samples"}, "MetricsLimited"),
        (400, {"errorType": "bad_data", "error": "exceeded maximum resolution of 11,000 points"}, "MetricsLimited"),
        (429, {"errorType": "too_many_requests", "error": "slow down"}, "MetricsLimited"),
        (400, {"errorType": "bad_data", "error": "parse error: unexpected limitk"}, "BadQuery"),
        (422, {"errorType": "execution", "error": "many-to-many matching not allowed"}, "BadQuery"),
        (503, {"errorType": "unavailable", "error": "TSDB not ready"}, "MetricsUnavailable"),
        (429, None, "MetricsLimited"),
        (503, None, "MetricsUnavailable"),
        (502, None, "MetricsUnavailable"),
        (404, None, "MetricsMalformed"),
        (401, None, "MetricsMalformed"),
    ],
)
def test_every_refusal_has_its_reason(status, body, reason):
    content = b"<html>" if body is None else json.dumps({"status": "error", **body}).encode()
    found = refusal("http://prometheus", status, "text/html", content)
    assert found.reason == reason
    assert "http://prometheus" in str(found)


@pytest.fixture
def answering():
    """Start a server that answers every question alike; return its URL."""
    servers = []

    def start(content, seconds=0.0):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(seconds)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "content",
    [b"<html>", b"[]", b'{"status":"success"}', b'{"status":"success","data":{"resultType":"matrix"}}',
     b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1]}]}}',
     b'{"status":"success","data":{"resultType":"string","result":[1,"x"]}}'],
)  # fmt: skip
def test_what_no_prometheus_would_say_is_malformed(answering, content):
    with pytest.raises(UnmeasurableError, match=r"correct the target's prometheus\.url") as caught:
        Server(answering(content)).instant("up")
    assert caught.value.reason == "MetricsMalformed"


def test_silence_is_a_timeout(answering):
    with pytest.raises(UnmeasurableError, match=r"did not answer within 0\.1 s") as caught:
        Server(answering(b"", seconds=1.5), timeout_s=0.1).instant("up")
    assert caught.value.reason == "MetricsTimeout"


def test_warnings_are_kept_once_each(answering):
    body = {"status": "success", "data": {"resultType": "vector", "result": []}, "warnings": ["store down"]}
    server = Server(answering(json.dumps(body).encode()))
    server.instant("a")
    server.instant("b")
    assert server.warnings == ("store down",)


def test_a_server_that_is_away_is_asked_again_while_patience_lasts():
    passed, pauses = [0.0], []

    def pause(seconds):
        pauses.append(seconds)
        passed[0] += seconds

    asker = Asker("http://127.0.0.1:9", 1.0, 10.0, clock=lambda: passed[0], pause=pause)
    with pytest.raises(UnmeasurableError, match="could not be reached") as caught:
        asker.data("/api/v1/query")
    assert caught.value.reason == "MetricsUnavailable"
    assert pauses == [1, 2, 4]


def test_a_selector_names_exactly_its_series():
    assert RawSeries({"__name__": "up"}, np.empty(0), np.empty(0)).selector() == "up"
    assert RawSeries({}, np.empty(0), np.empty(0)).selector() == "{}"
