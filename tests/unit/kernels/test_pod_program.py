"""The program as a container starts it: a process, its environment, a receiver that may be away."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from perfrun_kernels.contract import Request, Result

CONFIG = {"hidden_size": 16, "intermediate_size": 32, "layers": 1, "heads": 2, "kv_heads": 1, "vocab_size": 40}
SMALL: dict[str, Any] = {
    "model": {"config": CONFIG}, "batch_size": 2, "sequence_length": 4, "num_tokens": 8, "min_samples": 16,
    "device": "cpu", "threads": 1,
}  # fmt: skip
ENDLESS = SMALL | {"min_samples": 10**9}
PREFIX = "perfrun-result: "


class Operator:
    """Takes results on a port that it can leave and take again."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.taken: list[tuple[str, str | None]] = []
        self.arrived = threading.Event()
        self.server: HTTPServer | None = None

    def come(self) -> None:
        operator = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                operator.taken.append((body, self.headers["Authorization"]))
                self.send_response(201)
                self.end_headers()
                operator.arrived.set()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self.server = HTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def leave(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@pytest.fixture
def operator() -> Iterator[Operator]:
    found = Operator()
    yield found
    found.leave()


def request(**parameters: Any) -> str:
    return Request(run="r", stage="s", attempt=1, kind="sampling", parameters=parameters, budget_seconds=300).to_json()


def pod(tmp_path: Path, environ: dict[str, str], prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start the program with nothing in its environment but what is given: no home, no user."""
    base = {"PATH": os.environ["PATH"], "PERFRUN_TERMINATION_LOG": str(tmp_path / "termination")}
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "perfrun_kernels"],
        env=base | environ, cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def result_of(output: str) -> Result:
    (line,) = [line for line in output.splitlines() if line.startswith(PREFIX)]
    return Result.from_json(line.removeprefix(PREFIX))


def test_a_result_reaches_an_operator_that_was_away(tmp_path: Path, operator: Operator) -> None:
    (tmp_path / "token").write_text("abc")
    process = pod(tmp_path, {
        "PERFRUN_REQUEST": request(**SMALL),
        "PERFRUN_RESULT_URL": f"http://127.0.0.1:{operator.port}/results/r",
        "PERFRUN_TOKEN_FILE": str(tmp_path / "token"),
    })  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    operator.come()
    rest, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    ((body, authorization),) = operator.taken
    assert authorization == "Bearer abc"
    result = result_of(line + rest)
    assert Result.from_json(body) == result
    assert (result.outcome, len(result.series["step_seconds"].values)) == ("Completed", 16)
    message = json.loads((tmp_path / "termination").read_text())
    assert (message["outcome"], message["samples"]["step_seconds"]) == ("Completed", 16)
    assert "handed in after" in errors


def test_without_an_address_the_result_is_on_standard_output(tmp_path: Path) -> None:
    process = pod(tmp_path, {"PERFRUN_REQUEST": request(**SMALL)})
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, result_of(output).outcome) == (0, "Completed"), errors
    assert "round 1: 8 steps" in errors


def confined() -> tuple[str, ...]:
    """Return a prefix that takes the rights, the name and the writable root away; without root there are fewer.

    What may be written is /mnt, for this checkout may lie below /tmp. The right to read is left, since checkout and
    interpreter may lie in another user's home.
    """
    if os.geteuid() != 0:
        return ()
    script = (
        "mount --bind / / && mount -o remount,bind,ro / && mount -t tmpfs -o mode=1777 t /mnt && "
        "exec setpriv --reuid=64321 --regid=64321 --clear-groups "
        '--inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search -- sh -ec "$0" "$@"'
    )
    check = 'test "$(id -u)" = 64321 && ! touch /anything 2>/dev/null && test -z "$HOME" && exec "$@"'
    return ("unshare", "--mount", "sh", "-ec", script, check, "sh")


def test_it_runs_as_nobody_without_a_home_on_a_read_only_root(tmp_path: Path) -> None:
    prefix = confined()
    process = pod(tmp_path, {"PERFRUN_REQUEST": request(**SMALL)} | ({"TMPDIR": "/mnt"} if prefix else {}), prefix)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, result_of(output).outcome) == (0, "Completed"), errors


def test_an_order_to_stop_is_a_result_too(tmp_path: Path, operator: Operator) -> None:
    operator.come()
    url = f"http://127.0.0.1:{operator.port}/results/r"
    process = pod(tmp_path, {"PERFRUN_REQUEST": request(**ENDLESS), "PERFRUN_RESULT_URL": url})
    assert process.stderr is not None
    assert any("round 1" in line for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    result = result_of(output)
    assert (result.outcome, result.reason) == ("Failed", "Terminated")
    assert Result.from_json(operator.taken[0][0]) == result


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [(SMALL | {"batch_size": "many"}, "BadParameters"), (SMALL | {"colour": 1}, "BadParameters")],
)
def test_parameters_that_make_no_sense_are_a_result_too(
    tmp_path: Path, parameters: dict[str, Any], reason: str
) -> None:
    process = pod(tmp_path, {"PERFRUN_REQUEST": request(**parameters)})
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert result_of(output).reason == reason


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "PERFRUN_REQUEST is not set"),
        ({"PERFRUN_REQUEST": "nonsense"}, "expected a request as JSON, found 'nonsense'"),
        ({"PERFRUN_REQUEST": '{"version": 9}'}, "found version 9"),
    ],
)
def test_without_a_request_there_is_nobody_to_tell(tmp_path: Path, environ: dict[str, str], sentence: str) -> None:
    process = pod(tmp_path, environ)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (2, "")
    assert sentence in errors
    assert sentence in (tmp_path / "termination").read_text()


def test_a_result_that_nobody_may_take_is_an_error_of_the_pod(tmp_path: Path) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    process = pod(tmp_path, {"PERFRUN_REQUEST": request(**SMALL | {"num_tokens": 0}), "PERFRUN_RESULT_URL": url})
    output, errors = process.communicate(timeout=120)
    server.shutdown()
    server.server_close()
    assert process.returncode == 1
    assert result_of(output).reason == "BadParameters"
    assert "refused the result for good: status 403" in errors
