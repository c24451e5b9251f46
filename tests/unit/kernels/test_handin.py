import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import attrs
import pytest

from perfrun_kernels import contract
from perfrun_kernels.handin import INDEX_ENV, Destination, HandInError, Pacing, completion_index, leave_message, put


class Receiver:
    """A real HTTP server that answers with the statuses it is told, the last one for ever."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.statuses = [201]
        self.bodies: list[bytes] = []
        self.tokens: list[str | None] = []
        self.on_request: Callable[[], None] = lambda: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.tokens.append(self.headers["Authorization"])
                receiver.on_request()
                statuses = receiver.statuses
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.end_headers()
                self.wfile.write(b"because")

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}/results/x"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


class Time:
    """A clock that moves only by pauses."""

    def __init__(self, chance: float = 0.0) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.pacing = Pacing(clock=lambda: self.now, pause=self.pause, chance=lambda: chance)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("status", [200, 201, 204, 409])
def test_it_is_taken_or_there_already(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    assert put(Destination(receiver.url), '{"a":1}', 60, Time().pacing) == 1
    assert receiver.bodies == [b'{"a":1}']


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_a_refusal_is_final(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    with pytest.raises(HandInError, match=f"refused the result for good: status {status} because"):
        put(Destination(receiver.url), "{}", 60, Time().pacing)
    assert len(receiver.bodies) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
def test_a_passing_problem_is_tried_again_with_the_same_body(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, status, 201]
    time = Time()
    assert put(Destination(receiver.url), "{}", 60, time.pacing) == 3
    assert (receiver.bodies, time.pauses) == ([b"{}"] * 3, [0.2, 0.4])


def test_pauses_double_up_to_five_seconds_until_patience_is_over() -> None:
    time = Time()
    with pytest.raises(HandInError, match=r"did not take the result in 10 tries; the last one: .*refused"):
        put(Destination("http://127.0.0.1:1/"), "{}", 30, time.pacing)
    assert time.pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0]


def test_chance_shortens_pauses_by_up_to_a_half() -> None:
    time = Time(chance=0.5)
    with pytest.raises(HandInError):
        put(Destination("http://127.0.0.1:1/"), "{}", 0.5, time.pacing)
    assert time.pauses == pytest.approx([0.15, 0.3])


def test_the_token_is_read_again_for_each_try(receiver: Receiver, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    receiver.statuses = [503, 201]

    def renew() -> None:
        token.write_text("second\n")

    receiver.on_request = renew
    put(Destination(receiver.url, token_file=str(token)), "{}", 60, Time().pacing)
    assert receiver.tokens == ["Bearer first", "Bearer second"]


def test_a_token_that_is_not_there_yet_is_waited_for(receiver: Receiver, tmp_path: Path) -> None:
    token, time = tmp_path / "token", Time()

    def appear(seconds: float) -> None:
        token.write_text("late")
        time.pause(seconds)

    pacing = attrs.evolve(time.pacing, pause=appear)
    assert put(Destination(receiver.url, token_file=str(token)), "{}", 60, pacing) == 2
    assert receiver.tokens == ["Bearer late"]


def test_no_proxy_stands_between(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert put(Destination(receiver.url), "{}", 60, Time().pacing) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=operator", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


def test_the_bundle_vouches_for_the_operator(certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Receiver(context)
    assert put(Destination(server.url, ca_file=str(cert)), "{}", 60, Time().pacing) == 1
    with pytest.raises(HandInError, match="CERTIFICATE_VERIFY_FAILED"):
        put(Destination(server.url), "{}", 0.1, Time().pacing)
    assert len(server.bodies) == 1
    server.close()


def test_the_environment_names_the_destination() -> None:
    assert Destination.of({}) is None
    environ = {contract.RESULT_URL_ENV: "u", contract.TOKEN_FILE_ENV: "t", contract.CA_FILE_ENV: "c"}
    assert Destination.of(environ) == Destination("u", "t", "c")


def test_each_pod_of_a_job_hands_in_at_a_place_of_its_own(receiver: Receiver) -> None:
    environ = {contract.RESULT_URL_ENV: receiver.url, INDEX_ENV: "12"}
    destination = Destination.of(environ)
    assert destination is not None
    assert destination.url == f"{receiver.url}/12"
    assert completion_index(environ) == 12
    assert completion_index({}) is None


@pytest.mark.parametrize("text", ["-1", "1/../2", "two", "²"])
def test_an_index_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(contract.ContractError, match=r"JOB_COMPLETION_INDEX is .*expected a whole number"):
        Destination.of({contract.RESULT_URL_ENV: "u", INDEX_ENV: text})


def test_a_termination_message_is_left_where_that_is_possible(tmp_path: Path) -> None:
    assert leave_message(tmp_path / "log", "done")
    assert (tmp_path / "log").read_text() == "done"
    assert not leave_message(tmp_path / "absent" / "log", "done")
