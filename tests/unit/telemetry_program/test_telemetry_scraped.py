"""What a real Prometheus really scrapes: exporters that date their own samples, and targets that are down."""

from __future__ import annotations

import http.server
import threading
import time

import pytest

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.program import Task
from perfrun_kernels.telemetry.main import run

BEHIND = 3.0
SECONDS = 6.0
LIVES = 2.5


@pytest.fixture
def exporter():
    """Expose a gauge that the server dates, one that its exporter dates seconds back, and one until it is dropped."""
    dropped = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            dated = int((time.time() - BEHIND) * 1000)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            gone = "" if dropped.is_set() else "gone 3\n"
            self.wfile.write(f"load 1\nheat 2 {dated}\n{gone}".encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port, dropped
    server.shutdown()
    server.server_close()


def row(key, per="node"):
    return {"key": key, "name": key, "series": [key], "per": per, "interval_s": 1.0, "retention_s": 60.0}


def test_a_scrape_is_judged_by_its_targets_and_by_how_its_samples_are_dated(prometheus, exporter):
    port, dropped = exporter
    targets = [f"127.0.0.1:{port}", "localhost:1"]
    server = prometheus(scrape=[{"job_name": "node", "static_configs": [{"targets": targets}]}])
    while not server.ask("query", query="heat")["result"]:
        time.sleep(0.1)
    asked = {
        "prometheus": {"url": server.url}, "period_s": SECONDS, "window": "observed",
        "rows": [row("load"), row("heat", "any"), row("gone", "any")],
    }  # fmt: skip
    lines = []
    threading.Timer(LIVES, dropped.set).start()
    found = run(Task(asked, 60.0, lines.append))
    scalars = {name: each.value for name, each in found.scalars.items()}
    assert found.finished - found.started == pytest.approx(SECONDS)
    # Nobody said who should be there, so that those are expected whom the server scrapes: one of them is down.
    assert found.facts["load.missing"] == "localhost"
    assert (scalars["load.expected"], scalars["load.present"], scalars["load.skew"]) == (2, 1, 0)
    assert scalars["load.interval"] == pytest.approx(1.0, abs=0.1)
    assert scalars["heat.skew"] == pytest.approx(-BEHIND, abs=0.2)
    # What an exporter no longer shows is no sample with an old date.
    assert (scalars["gone.skew"], scalars["gone.stale"], scalars["gone.series"]) == (None, 1, 1)
    assert "watching" in lines[0]


def test_a_period_that_does_not_fit_is_refused_before_it_is_watched(prometheus):
    asked = {"prometheus": {"url": prometheus().url}, "period_s": 3600.0, "window": "observed", "rows": [row("load")]}
    with pytest.raises(UnmeasurableError, match="watching for 3600 s") as caught:
        run(Task(asked, 100.0, print))
    assert caught.value.reason == "ShortWindow"
