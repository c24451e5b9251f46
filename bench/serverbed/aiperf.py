"""NVIDIA's aiperf, another client that times token streams, in an environment of its own in the user's cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from load.tools import FOLDER, MissingToolError
from serverbed.seen import of_aiperf

from perfrun_kernels.sampling.asking import random_words

if TYPE_CHECKING:
    from pathlib import Path

    from serverbed.seen import Asked, Seen

VERSION: Final = "0.13.0"
LONGEST_SECONDS: Final = 1800.0
OPTIONS: Final = (
    "--endpoint-type", "chat", "--streaming", "--custom-dataset-type", "single_turn", "--use-server-token-count",
    "--ui-type", "none", "--no-server-metrics", "--no-gpu-telemetry", "--export-level", "summary",
)  # fmt: skip
NOBODY: Final = "http://127.0.0.1:9"
"""In place of the hub of models: the tokenizer is a folder, and nothing is to be asked of others."""


def program() -> Path:
    """Return aiperf's command, installed where it is missing.

    Raises:
        MissingToolError: it cannot be installed.
    """
    folder = FOLDER / f"aiperf-{VERSION}"
    command = folder / "bin" / "aiperf"
    if not command.is_file():
        _do([sys.executable, "-m", "venv", str(folder)])
        _do([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", f"aiperf=={VERSION}"])
    return command


def measure(asked: Asked, folder: Path) -> Seen:
    """Run it once and return what it says; what it writes goes into ``folder``.

    Its requests ask for what perfrun's do: the server's time for a token depends on how it is drawn.

    Raises:
        MissingToolError: it is not here, or did not end well.
        ValueError: its export is not as expected.
    """
    folder.mkdir(parents=True)
    prompts = folder / "prompts.jsonl"
    words = (random_words(asked.prompt_tokens, asked.seed + number) for number in range(asked.requests))
    prompts.write_text("".join(json.dumps({"text": each}) + "\n" for each in words))
    options = {
        "max_tokens": asked.tokens,
        "temperature": 1.0,
        "top_p": 0.95,
        "presence_penalty": 0.0,
        "seed": asked.seed,
    }
    _do(
        [
            str(program()), "profile", "--model", asked.model, "--tokenizer", asked.model,
            "--url", asked.url.removesuffix("/v1"), "--input-file", str(prompts), "--artifact-dir", str(folder),
            "--concurrency", str(asked.at_once), "--request-count", str(asked.requests),
            "--extra-inputs", json.dumps(options), *OPTIONS,
        ]
    )  # fmt: skip
    return of_aiperf(json.loads((folder / "profile_export_aiperf.json").read_text()), asked)


def _do(command: list[str]) -> None:
    environment = {**os.environ, "HF_ENDPOINT": NOBODY, "HF_HUB_DISABLE_TELEMETRY": "1"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
    )
    if ended.returncode != 0:
        said = (ended.stderr.strip() or ended.stdout.strip() or "it did not say why")[-1000:]
        raise MissingToolError(f"`{' '.join(command[:2])}` ended with {ended.returncode}: {said}")
