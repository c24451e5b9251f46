"""What a Prometheus is told to scrape and record: taken by promtool, and done by a real one."""

from __future__ import annotations

import http.server
import json
import statistics
import threading
import time
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.manifests import scraping
from perfrun.manifests.prometheus_operator import objects
from perfrun.manifests.recording import History, groups, series_of
from perfrun.manifests.scraping import CPU, GPU, MEMORY, THROUGHPUT, USUAL, Row, Surroundings

HURRIED = ["--scrape.discovery-reload-interval=1s"]
WEEK = 7 * 86_400.0
AROUND = Surroundings("prober:9115")
UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}


def named(rows, around=AROUND):
    return {job["job_name"].removeprefix(around.prefix): job for job in scraping.jobs(rows, around)}


def test_each_type_is_scraped_as_often_as_its_row_says():
    assert {name: job["scrape_interval"] for name, job in named(USUAL).items()} == {
        "node": "15s", "gpu": "15s", "latency": "5s", "node-network": "5s", "node-errors": "1s",
    }  # fmt: skip


def test_what_one_job_records_goes_by_the_shortest_interval():
    rows = [Row(CPU, 30, WEEK), Row(MEMORY, 10, WEEK)]
    assert {name: job["scrape_interval"] for name, job in named(rows).items()} == {"node": "10s"}


def test_a_service_answers_for_the_throughput_by_its_pods():
    around = Surroundings("prober:9115", service=("shop", "web"))
    job = named([Row(THROUGHPUT, 5, WEEK)], around)["throughput"]
    [discovery] = job["kubernetes_sd_configs"]
    assert discovery == {"role": "endpointslice", "namespaces": {"names": ["shop"]}}
    assert job["relabel_configs"][0] == {
        "source_labels": ["__meta_kubernetes_service_name"], "regex": "web", "action": "keep"
    }  # fmt: skip


def test_rows_of_unknown_types_have_no_job_and_no_rule():
    rows = [Row("Queue length", 5, 2 * WEEK)]
    assert scraping.jobs(rows, AROUND) == groups(rows) == []
    assert scraping.retention(rows) == 2 * WEEK
    assert scraping.retention([]) == 0


@given(st.integers(1, 10**10))
def test_a_duration_is_read_back_as_it_was(milliseconds):
    written = scraping.duration(milliseconds / 1000)
    number = written.rstrip("dhms")
    assert float(number) * UNITS[written.removeprefix(number)] == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(("seconds", "written"), [(WEEK, "7d"), (0.5, "500ms"), (90, "90s"), (3600, "1h"), (0, "0ms")])
def test_a_duration_takes_the_longest_unit_that_fits(seconds, written):
    assert scraping.duration(seconds) == written


def test_a_history_is_recorded_over_the_time_between_its_points():
    history = History("response_time", "sum(rate(x_sum[$window])) / sum(rate(x_count[$window]))")
    [group] = groups([], [history])
    assert group["interval"] == "5m"
    assert group["rules"] == [
        {"record": "perfrun:response_time:history", "expr": "sum(rate(x_sum[5m])) / sum(rate(x_count[5m]))"}
    ]
    assert series_of(history) == "perfrun:response_time:history"


def test_the_operator_is_told_the_same_as_prometheus():
    jobs = scraping.jobs(USUAL, AROUND)
    made = objects(jobs, groups(USUAL), "monitoring", {"release": "x"})
    *scraped, recorded = made
    assert [each["spec"]["jobName"] for each in scraped] == [job["job_name"] for job in jobs]
    for each, job in zip(scraped, jobs, strict=True):
        assert each["spec"]["scrapeInterval"] == job["scrape_interval"]
        assert each["spec"].get("params") == job.get("params")
        assert len(each["spec"]["relabelings"]) == len(job["relabel_configs"])
        assert "source_labels" not in json.dumps(each)
    assert recorded["spec"]["groups"] == groups(USUAL)
    assert all(each["metadata"]["labels"]["release"] == "x" for each in made)


EXPOSED = {
    "netdev": "".join(
        f'node_network_{way}_{what}_total{{device="eth0"}} 7\n'
        for way in ("receive", "transmit")
        for what in ("bytes", "errs")
    ),
    "cpu": 'node_cpu_seconds_total{cpu="0",mode="idle"} 5\n',
    "meminfo": "node_memory_MemAvailable_bytes 1\nnode_memory_MemTotal_bytes 4\n",
}


class Exporter(http.server.BaseHTTPRequestHandler):
    """Answers as node-exporter and the blackbox exporter do, as far as these jobs ask."""

    def do_GET(self):
        asked = parse_qs(urlsplit(self.path).query)
        body = "".join(EXPOSED.get(name, "") for name in asked.get("collect[]", ()))
        if asked.get("module") == ["icmp"]:
            body = f'probe_icmp_duration_seconds{{phase="rtt"}} 0.001\nprobed{{target="{asked["target"][0]}"}} 1\n'
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def exporter():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.server_address[1]
        served.shutdown()


def on_loopback(job, port):
    """The job with nodes that are listed instead of discovered; what tells of a node is what discovery would tell."""
    labels = {
        "__meta_kubernetes_node_name": "node1", "__meta_kubernetes_node_address_InternalIP": "192.0.2.1",
    }  # fmt: skip
    listed = {key: value for key, value in job.items() if key != "kubernetes_sd_configs"}
    told = json.dumps(listed).replace(f"$1:{scraping.NODE_PORT}", f"$1:{port}")
    return json.loads(told) | {"static_configs": [{"targets": ["127.0.0.1:10250"], "labels": labels}]}


def test_a_real_prometheus_records_each_series_once_and_as_often_as_asked(prometheus, exporter):
    """Ten times as fast as usual, so that seconds are enough."""
    rows = [Row(row.name, row.interval / 10, row.retention) for row in USUAL if row.name != GPU]
    jobs = scraping.jobs(rows, Surroundings(f"127.0.0.1:{exporter}"))
    server = prometheus(scrape=[on_loopback(job, exporter) for job in jobs], rules=groups(rows), flags=HURRIED)
    every = {
        "node_cpu_seconds_total": 1.5,
        "node_memory_MemAvailable_bytes": 1.5,
        "probe_icmp_duration_seconds": 0.5,
        "node_network_receive_bytes_total": 0.5,
        "node_network_receive_errs_total": 0.1,
        "node:memory_utilization:ratio": 1.5,
        "node:network_latency:seconds": 0.5,
        "node:network_errors:per_second": 0.1,
    }
    found = defaultdict(list)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(len(found[name]) < 4 for name in every):
        time.sleep(0.5)
        for name in every:
            [*series] = server.ask("query", query=f"{name}[1m]")["result"]
            assert len(series) <= 1, series
            found[name] = [moment for moment, _ in series[0]["values"]] if series else []
            assert not series or series[0]["metric"]["node"] == "node1"
    for name, interval in every.items():
        spacing = [later - sooner for sooner, later in zip(found[name], found[name][1:], strict=False)]
        # A machine with other things to do is late; the next interval is three times as long.
        assert statistics.median(spacing) == pytest.approx(interval, rel=0.5), name
    assert server.ask("query", query="probed")["result"][0]["metric"]["target"] == "192.0.2.1"
    assert all(rule["health"] == "ok" for group in server.ask("rules")["groups"] for rule in group["rules"])
