"""A real Prometheus on loopback, with the history that it is given, as long as a block of code runs."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
from historybed.backfill import backfill
from historybed.series import Series

from perfrun.devcluster import tools

_START_SECONDS: Final = 60.0
_QUERIES: Final = "queries.log"


@attrs.frozen
class Server:
    """Where it listens, and the process."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    def ask(self, path: str, **parameters: str | float) -> Any:
        """Return the data of its answer, such as ``ask("query", query="up")``."""
        with urllib.request.urlopen(  # noqa: S310 -- it was started here
            f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=60
        ) as answer:
            return json.load(answer)["data"]

    def asked(self) -> list[dict[str, Any]]:
        """Return what others asked of it so far: each query with its start, end and step (s; 0 of an instant one)."""
        lines = (self.folder / _QUERIES).read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["params"] for line in lines]


@contextlib.contextmanager
def serving(
    series: Iterable[Series] = (), *, retention: str = "60d", size: str = "", scrape: Sequence[Mapping[str, Any]] = (),
    rules: Sequence[Mapping[str, Any]] = (), flags: Sequence[str] = (), address: str = "127.0.0.1",
) -> Iterator[Server]:  # fmt: skip
    """Start it with a history; ``scrape`` are entries of scrape_configs, ``rules`` are groups.

    ``retention`` and ``size`` are its limits of time and bytes.

    Raises:
        RuntimeError: it did not start.
    """
    with tempfile.TemporaryDirectory(prefix="perfrun-prometheus-") as folder:
        data = Path(folder) / "data"
        backfill(series, data)
        server = start(Path(folder), data, retention, size, scrape, rules, flags, address)
        try:
            yield server
        finally:
            server.process.terminate()
            server.process.wait()


def start(
    folder: Path, data: Path, retention: str, size: str, scrape: Sequence[Mapping[str, Any]],
    rules: Sequence[Mapping[str, Any]], flags: Sequence[str], address: str,
) -> Server:  # fmt: skip
    """Start it on the database at ``data`` and wait until it answers."""
    rules_file, config_file = folder / "rules.json", folder / "prometheus.json"
    rules_file.write_text(json.dumps({"groups": list(rules)}))
    config_file.write_text(json.dumps({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s",
                   "query_log_file": str(folder / _QUERIES)},
        "rule_files": [str(rules_file)], "scrape_configs": list(scrape),
    }))  # fmt: skip
    url = f"http://{address}:{_free_port(address)}"
    log = folder / "prometheus.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [
                tools.binary("prometheus"), f"--config.file={config_file}", f"--storage.tsdb.path={data}",
                f"--web.listen-address={url.removeprefix('http://')}", "--web.enable-remote-write-receiver",
                "--web.enable-lifecycle", "--log.level=warn", f"--storage.tsdb.retention.time={retention}",
                *([f"--storage.tsdb.retention.size={size}"] if size else []), *flags,
            ],
            stdout=written, stderr=written,
        )  # fmt: skip
    deadline = time.monotonic() + _START_SECONDS
    while not _ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RuntimeError(f"Prometheus did not start: {log.read_text()[-1000:]}")
        time.sleep(0.02)
    server = Server(url, process, folder)
    while scrape and not server.ask("targets")["activeTargets"]:
        time.sleep(0.05)
    return server


def _ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):  # noqa: S310 -- the same
        return True
    return False


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
