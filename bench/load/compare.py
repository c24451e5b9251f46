"""Why the load generator is what it is: candidates against the same server, on one core each.

Two questions decide. Does the candidate's p99 show that the server froze for a second? And up to which rate does it
keep to its schedule? Run it as root on a machine with two cores that is otherwise quiet:

    .venv/bin/python bench/load/compare.py --tools DIR --nginx PATH

DIR holds vegeta, hey, oha and wrk; how they were built stands in README.md. The table is printed and kept as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from perfrun.measuring import histograms
from perfrun_kernels import load

PORT = 18090
URL = f"http://127.0.0.1:{PORT}/"
CONNECTIONS = 64
FREEZE_RATE, FREEZE_SECONDS = 4000, 4
RATES = (10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000, 100_000, 120_000)
CONFIG = """
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 40000; pid {0}/pid; error_log {0}/errors warn;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {0}/1; proxy_temp_path {0}/2; fastcgi_temp_path {0}/3;
  uwsgi_temp_path {0}/4; scgi_temp_path {0}/5;
  server {{ listen 127.0.0.1:{1} backlog=16384; location / {{ return 200 "a small answer, always the same\\n"; }} }}
}}
"""

Reading = dict[str, float]
"""rate: what really went out each second; p99: in seconds, as reported; late: lateness p99 where it is reported."""


def pinned(core: int, command: list[str], *, realtime: bool) -> list[str]:
    """Return the command on one core and ahead of whatever else the machine does: all candidates alike.

    Each candidate is a session of its own, whose group gets the largest share. Real-time scheduling keeps neighbours
    out altogether, but a thread that spins until its time, as vegeta's does, then starves its own process too.
    """
    if realtime:
        return ["chrt", "-f", "5", "taskset", "-c", str(core), *command]
    ahead = 'echo -20 >/proc/self/autogroup 2>/dev/null; exec nice -n -20 taskset -c "$0" "$@"'
    return ["sh", "-c", ahead, str(core), *command]


@contextlib.contextmanager
def server(nginx: str, *, realtime: bool) -> Iterator[int]:
    """Run nginx on core 1; yield its process id."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(CONFIG.format(folder, PORT), encoding="utf-8")
        running = subprocess.Popen(
            pinned(1, [nginx, "-p", folder, "-c", str(config)], realtime=realtime), start_new_session=True
        )
        time.sleep(1)
        try:
            yield running.pid
        finally:
            running.send_signal(signal.SIGCONT)
            running.terminate()
            running.wait()


class Candidates:
    """How each candidate is asked for the same thing."""

    def __init__(self, tools: Path, *, realtime: bool) -> None:
        self._tools, self._realtime = tools, realtime

    def _output(self, command: list[str], given: str = "") -> str:
        return subprocess.run(
            pinned(0, command, realtime=self._realtime), input=given, capture_output=True, text=True, check=True,
            start_new_session=True,
        ).stdout  # fmt: skip

    def perfrun(self, rate: int, seconds: int) -> Reading:
        """Ask this project's generator."""
        wanted = {
            "url": URL, "arrivals": "constant", "connections": CONNECTIONS,
            "segments": [{"seconds": seconds, "rate": rate}],
        }  # fmt: skip
        report = json.loads(self._output([str(load.binary())], json.dumps(wanted)))
        late = histograms.decode(report["histograms"]["lateness"], "s", 1e-6)
        took = histograms.decode(report["histograms"]["latency"], "s", 1e-6)
        return {"rate": report["achieved_rate"], "p99": took.quantile(0.99), "late": late.quantile(0.99)}

    def vegeta(self, rate: int, seconds: int) -> Reading:
        """Ask vegeta, open loop; its report is made afterwards so that it costs the attack nothing."""
        program = str(self._tools / "vegeta")
        with tempfile.NamedTemporaryFile() as file:
            attack = [program, "attack", f"-rate={rate}", f"-duration={seconds}s", f"-output={file.name}"]
            self._output([*attack, f"-workers={CONNECTIONS}", "-connections=10000"], f"GET {URL}\n")
            report = json.loads(self._output([program, "report", "-type=json", file.name]))
        return {"rate": report["rate"], "p99": report["latencies"]["99th"] / 1e9}

    def oha(self, rate: int, seconds: int) -> Reading:
        """Ask oha, with its correction for coordinated omission."""
        options = ["-z", f"{seconds}s", "-q", str(rate), "--latency-correction", "--no-tui", "--output-format", "json"]
        report = json.loads(self._output([str(self._tools / "oha"), *options, "-c", str(CONNECTIONS), URL]))
        p99 = report["latencyPercentiles"]["p99"]
        return {"rate": report["summary"]["requestsPerSec"], "p99": p99 if p99 is not None else float("inf")}

    def hey(self, rate: int, seconds: int) -> Reading:
        """Ask hey, whose workers wait for each answer; rate 0 is as fast as it can."""
        limit = ["-q", str(rate / CONNECTIONS)] if rate else []
        text = self._output(
            [str(self._tools / "hey"), "-z", f"{seconds}s", "-cpus", "1", "-c", str(CONNECTIONS), *limit, URL]
        )
        return {"rate": _number(r"Requests/sec:\s+([\d.]+)", text), "p99": _number(r"99%+ in ([\d.]+) secs", text)}

    def wrk(self, _: int, seconds: int) -> Reading:
        """Ask wrk, which knows no rate: its connections wait for each answer."""
        text = self._output([str(self._tools / "wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", URL])
        value, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", text)[0]
        scale = {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]
        return {"rate": _number(r"Requests/sec:\s+([\d.]+)", text), "p99": float(value) * scale}


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else float("nan")


def frozen(ask: Callable[[int, int], Reading], process: int) -> Reading:
    """Freeze the server for one second in the middle of a run of four."""

    def freeze() -> None:
        os.kill(process, signal.SIGSTOP)
        time.sleep(1)
        os.kill(process, signal.SIGCONT)

    timer = threading.Timer(FREEZE_SECONDS / 2, freeze)
    timer.start()
    reading = ask(FREEZE_RATE, FREEZE_SECONDS)
    timer.join()
    return reading


def highest(ask: Callable[[int, int], Reading], seconds: int, rates: tuple[int, ...]) -> dict[str, Any]:
    """Climb until two rates in a row are too much; return the highest good one."""
    best: dict[str, Any] = {"rate": 0, "p99": None, "late": None}
    misses = 0
    for rate in rates:
        reading = ask(rate, seconds)
        good = reading["rate"] >= 0.99 * rate and reading.get("late", reading["p99"]) < 1e-3
        print(f"    {rate}/s: {reading}{'' if good else '  too much'}", flush=True)
        if good:
            best, misses = {**reading, "rate": rate}, 0
        else:
            misses += 1
            if misses == 2:
                break
    return best


def spread(values: list[float]) -> str:
    """Return median, smallest and largest."""
    return f"{statistics.median(values):.4g} ({min(values):.4g} to {max(values):.4g})"


def main() -> None:
    """Measure all candidates in one session and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--nginx", default="nginx")
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/bench-load.json"))
    parser.add_argument("--realtime", action="store_true")
    options = parser.parse_args()
    candidates = Candidates(options.tools, realtime=options.realtime)
    open_loop = {"perfrun": candidates.perfrun, "vegeta": candidates.vegeta, "oha": candidates.oha}
    closed_loop = {"hey": candidates.hey, "wrk": candidates.wrk}
    everyone = {**open_loop, **closed_loop}
    results: dict[str, dict[str, list[float]]] = {name: {"freeze_p99": [], "rate": [], "p99": []} for name in everyone}
    with server(options.nginx, realtime=options.realtime) as process:
        for turn in range(options.repeats):
            for name, ask in everyone.items():
                print(f"turn {turn + 1}: {name}", flush=True)
                results[name]["freeze_p99"].append(frozen(ask, process)["p99"])
                best = highest(ask, options.seconds, RATES) if name in open_loop else ask(0, options.seconds)
                results[name]["rate"].append(best["rate"])
                results[name]["p99"].append(best["p99"] if best["p99"] is not None else float("nan"))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2), encoding="utf-8")
    print("| candidate | p99 with a 1 s freeze, s | highest rate per core, 1/s | p99 then, ms |\n|---|---|---|---|")
    for name, each in results.items():
        kind = "" if name in open_loop else " (closed loop)"
        at_rate = spread([1e3 * value for value in each["p99"]])
        print(f"| {name}{kind} | {spread(each['freeze_p99'])} | {spread(each['rate'])} | {at_rate} |")


if __name__ == "__main__":
    main()
