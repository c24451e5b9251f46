"""How each load generator is asked for the same thing, and what it says of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
from load import tools

from perfrun.measuring import histograms
from perfrun_kernels.load import binary

CLIENT_CORE, SERVER_CORE = 0, 1
CONNECTIONS: Final = 64
OPEN_LOOP: Final = ("perfrun", "vegeta", "oha")
"""Those that can be asked for a rate; the others send as fast as their connections are answered."""

_PORT: Final = 18090
_URL: Final = f"http://127.0.0.1:{_PORT}/"
_STARTED_WITHIN_SECONDS: Final = 10.0
_CONFIG: Final = """
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 40000; pid {0}/pid; error_log {0}/errors warn;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {0}/1; proxy_temp_path {0}/2; fastcgi_temp_path {0}/3;
  uwsgi_temp_path {0}/4; scgi_temp_path {0}/5;
  server {{ listen 127.0.0.1:{1} backlog=16384; location / {{ return 200 "a small answer, always the same\\n"; }} }}
}}
"""


@attrs.frozen
class Reading:
    """What a candidate reports: requests per second, and the p99 of response times and of lateness, in seconds.

    ``late`` is None where lateness is not reported.
    """

    rate: float
    p99: float
    late: float | None = None


@attrs.frozen
class Place:
    """Where candidates and server run: each on a core of its own, ahead of whatever else the machine does.

    ``realtime`` keeps neighbours out altogether, and leaves 95 % of a core.
    """

    realtime: bool = False

    def pinned(self, core: int, command: list[str]) -> list[str]:
        """Return the command that runs ``command`` there."""
        if self.realtime:
            return ["chrt", "-f", "5", "taskset", "-c", str(core), *command]
        # Each candidate is a session of its own, whose group of processes gets the largest share.
        ahead = 'echo -20 >/proc/self/autogroup 2>/dev/null; exec nice -n -20 taskset -c "$0" "$@"'
        return ["sh", "-c", ahead, str(core), *command]

    @contextlib.contextmanager
    def server(self) -> Iterator[int]:
        """Run nginx with one worker and no access log; yield its process id."""
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "nginx.conf"
            config.write_text(_CONFIG.format(folder, _PORT), encoding="utf-8")
            command = [str(tools.find("nginx")), "-p", folder, "-c", str(config)]
            running = subprocess.Popen(self.pinned(SERVER_CORE, command), start_new_session=True)
            try:
                _await_port()
                yield running.pid
            finally:
                running.send_signal(signal.SIGCONT)
                running.terminate()
                running.wait()

    def output(self, command: list[str], given: str = "") -> str:
        """Run a candidate and return what it prints."""
        return subprocess.run(
            self.pinned(CLIENT_CORE, command), input=given, capture_output=True, text=True, check=True,
            start_new_session=True, env={**os.environ, "LD_LIBRARY_PATH": str(tools.libraries())},
        ).stdout  # fmt: skip


Ask = Callable[[Place, Path, int, int], Reading]
"""Ask a program for ``rate`` requests per second (closed loops: with so many connections) over ``seconds``."""


def perfrun(place: Place, program: Path, rate: int, seconds: int) -> Reading:
    """Ask this project's generator."""
    wanted = {
        "url": _URL, "arrivals": "constant", "connections": CONNECTIONS,
        "segments": [{"seconds": seconds, "rate": rate}],
    }  # fmt: skip
    report = json.loads(place.output([str(program)], json.dumps(wanted)))
    late = histograms.decode(report["histograms"]["lateness"], "s", 1e-6)
    took = histograms.decode(report["histograms"]["latency"], "s", 1e-6)
    return Reading(report["achieved_rate"], took.quantile(0.99), late.quantile(0.99))


def vegeta(place: Place, program: Path, rate: int, seconds: int) -> Reading:
    """Ask vegeta; its report is made afterwards so that it costs the attack nothing."""
    with tempfile.NamedTemporaryFile() as file:
        attack = [str(program), "attack", f"-rate={rate}", f"-duration={seconds}s", f"-output={file.name}"]
        place.output([*attack, f"-workers={CONNECTIONS}", "-connections=10000"], f"GET {_URL}\n")
        report = json.loads(place.output([str(program), "report", "-type=json", file.name]))
    return Reading(report["rate"], report["latencies"]["99th"] / 1e9)


def oha(place: Place, program: Path, rate: int, seconds: int) -> Reading:
    """Ask oha, with its correction for coordinated omission."""
    options = ["-z", f"{seconds}s", "-q", str(rate), "--latency-correction", "--no-tui", "--output-format", "json"]
    report = json.loads(place.output([str(program), *options, "-c", str(CONNECTIONS), _URL]))
    p99 = report["latencyPercentiles"]["p99"]
    return Reading(report["summary"]["requestsPerSec"], p99 if p99 is not None else float("inf"))


def hey(place: Place, program: Path, connections: int, seconds: int) -> Reading:
    """Ask hey, whose workers wait for each answer."""
    text = place.output([str(program), "-z", f"{seconds}s", "-cpus", "1", "-c", str(connections), _URL])
    return Reading(_number(r"Requests/sec:\s+([\d.]+)", text), _number(r"99%+ in ([\d.]+) secs", text))


def wrk(place: Place, program: Path, connections: int, seconds: int) -> Reading:
    """Ask wrk, whose connections wait for each answer."""
    text = place.output([str(program), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", _URL])
    value, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", text)[0]
    return Reading(_number(r"Requests/sec:\s+([\d.]+)", text), float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit])


ALL: Final[dict[str, Ask]] = {"perfrun": perfrun, "vegeta": vegeta, "oha": oha, "wrk": wrk, "hey": hey}


def program_of(name: str) -> Path:
    """Return a candidate's program, or raise MissingToolError."""
    return binary() if name == "perfrun" else tools.find(name)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else float("nan")


def _await_port() -> None:
    until = time.monotonic() + _STARTED_WITHIN_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", _PORT), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
