"""``perfrun run`` against servers that fail, each in its own way: a reason that says how, and never a pass."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from server import Server, chunk, refusing, saying, streaming

GOOD = [chunk("a"), chunk("b"), chunk("c")]
FAULTS = {
    "stalls": (saying(*GOOD, then="hang"), "Stalled", "the server sent no token for 1 s"),
    "malformed": (saying(*GOOD, b"data: {oops\n\n"), "MalformedStream", "found the event '{oops'"),
    "html": (saying(b"<html>gateway</html>"), "MalformedStream", "expected server-sent events"),
    "drops": (saying(*GOOD, then="cut"), "ConnectionDropped", "the connection broke off"),
    "limits": (refusing(429, "busy", retry_after="9"), "RateLimited", "status 429: busy"),
    "breaks": (refusing(500, "broken", retry_after="9"), "ServerError", "status 500: broken"),
}
SCENARIO = """
  Scenario: {name}
    Given a model of size "{name}"
    When sampling 20 tokens
    Then throughput should exceed 1 token per second
    And p99 latency should be below 1 minute
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve every model, each of which fails as its name says."""

    async def behave(at: Server, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        kind = FAULTS[body["model"]][0] if body["model"] in FAULTS else streaming()
        return await kind(at, request, body)

    started = Server(behave)
    yield started
    started.close()


def run(folder: Path, url: str, names: list[str]) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    rows = "".join(f"      | {name} | 2 | 8 |\n" for name in names)
    head = f"Feature: f\n  Background:\n    Given the following model configurations:\n      | model_size | batch_size | sequence_length |\n{rows}"  # noqa: E501 -- one table
    (folder / "servers.feature").write_text(head + "".join(SCENARIO.format(name=name) for name in names))
    models = ", ".join(f"{name}: {{name: {name}}}" for name in names)
    (folder / "target.yaml").write_text(
        "apiVersion: perfrun.dev/v1alpha1\nkind: PerfTarget\nmetadata: {name: default}\n"
        f"spec: {{llm: {{engine: openai, url: {url!r}, budget: 2s, models: {{{models}}}}}}}\n"
    )
    answer = subprocess.run(
        [sys.executable, "-m", "perfrun.cli", "run", str(folder / "servers.feature"), "--format", "json",
         "--target", str(folder / "target.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.stdout, answer.stderr
    return json.loads(answer.stdout)["status"], answer


def test_a_server_that_fails_is_no_verdict_and_the_reason_says_how(server: Server, tmp_path: Path) -> None:
    status, answer = run(tmp_path, server.url, [*sorted(FAULTS), "well"])
    assert (status["verdict"], answer.returncode) == ("Inconclusive", 2)
    found = {each["name"]: each for each in status["scenarios"]}
    for name, (_, reason, sentence) in FAULTS.items():
        claims = found[name]["steps"][-2:]
        assert {(each["verdict"], each["reason"]) for each in claims} == {("Inconclusive", reason)}, name
        assert all(sentence in each["message"] for each in claims)
    # The same client, asking the same server for what it does well, measures.
    assert found["well"]["steps"][-2]["facts"]["streams_complete"] > 0


def test_a_server_that_is_not_there_is_no_verdict_either(tmp_path: Path) -> None:
    gone = Server(streaming())
    gone.close()
    status, answer = run(tmp_path, gone.url, ["well"])
    assert (status["verdict"], answer.returncode) == ("Inconclusive", 2)
    assert status["scenarios"][0]["steps"][-1]["reason"] == "Unreachable"
