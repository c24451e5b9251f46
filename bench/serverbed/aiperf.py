"""NVIDIA's aiperf, another client that times token streams, in an environment of its own in the user's cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from perfrun_kernels.sampling.asking import random_words

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = "0.13.0"
FOLDER: Final = Path(os.environ.get("PERFRUN_CACHE") or Path.home() / ".cache" / "perfrun") / "bench-tools"
LONGEST_SECONDS: Final = 600.0


class MissingError(Exception):
    """It cannot be had here, or did not do its work; the message says why."""


@attrs.frozen
class Asked:
    """What both clients are asked for: ``concurrency`` streams at once, ``requests`` in all, of so many tokens."""

    url: str
    model: str
    concurrency: int
    requests: int
    prompt_tokens: int
    tokens: int
    seed: int


@attrs.frozen
class Seen:
    """What a client saw, means in seconds: first token, time between tokens of a request, whole request."""

    ttft: float
    tpot: float
    e2e: float
    requests: int


def program() -> Path:
    """Return aiperf's command, installed where it is missing.

    Raises:
        MissingError: it cannot be installed.
    """
    folder = FOLDER / f"aiperf-{VERSION}"
    command = folder / "bin" / "aiperf"
    if not command.is_file():
        _do([sys.executable, "-m", "venv", str(folder)])
        _do([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", f"aiperf=={VERSION}"])
    return command


def measure(asked: Asked, folder: Path) -> Seen:
    """Run it once and return its means; what it writes goes into ``folder``.

    Raises:
        MissingError: it is not here, or left no figures.
    """
    folder.mkdir(parents=True)
    prompts = folder / "prompts.jsonl"
    words = (random_words(asked.prompt_tokens, asked.seed + number) for number in range(asked.requests))
    prompts.write_text("".join(json.dumps({"text": each}) + "\n" for each in words))
    _do(
        [
            str(program()), "profile", "--model", asked.model, "--url", asked.url.removesuffix("/v1"),
            "--endpoint-type", "chat", "--streaming", "--tokenizer", asked.model, "--input-file", str(prompts),
            "--custom-dataset-type", "single_turn", "--concurrency", str(asked.concurrency),
            "--request-count", str(asked.requests), "--extra-inputs", f"max_tokens:{asked.tokens}",
            "--use-server-token-count", "--artifact-dir", str(folder / "artifacts"), "--ui-type", "none",
            "--no-server-metrics", "--no-gpu-telemetry",
        ]
    )  # fmt: skip
    found = next((folder / "artifacts").rglob("profile_export_aiperf.json"), None)
    if found is None:
        raise MissingError("aiperf left no figures")
    figures = json.loads(found.read_text())
    return Seen(
        ttft=_seconds(figures, "time_to_first_token"), tpot=_seconds(figures, "inter_token_latency"),
        e2e=_seconds(figures, "request_latency"), requests=round(figures["request_count"]["avg"]),
    )  # fmt: skip


def _seconds(figures: Mapping[str, Any], name: str) -> float:
    if name not in figures:
        raise MissingError(f"aiperf left no {name}")
    return float(figures[name]["avg"]) / 1e3


def _do(command: list[str]) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
    )
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ended.stdout.strip().splitlines() or ["it did not say why"])[-1]
        raise MissingError(f"`{' '.join(command[:2])}` ended with {ended.returncode}: {last}")
