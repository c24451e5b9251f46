"""``perfrun lint``: what is wrong with feature files, before anything runs.

It sits in editors and commit hooks, so it loads only what checking needs: no models, no numerics, no pint unless a
feature has an unusual unit.
"""

from __future__ import annotations

import importlib.metadata
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfrun.capabilities.words import builtin
from perfrun.cli.stop import Stop
from perfrun.language import rendering
from perfrun.language.lint import Finding, lint

if TYPE_CHECKING:
    from perfrun.language.vocabulary import Vocabulary

app = typer.Typer(add_completion=False)


class Format(StrEnum):
    """How problems are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


@app.command()
def command(
    files: Annotated[list[str], typer.Argument(help="Feature files, or manifests with PerfFeatures; - is stdin.")],
    target: Annotated[Path | None, typer.Option(help="Manifest with the PerfTarget whose metrics count.")] = None,
    output: Annotated[Format, typer.Option("--format", help="How problems are written.")] = Format.TEXT,
) -> None:
    """Check feature files; exit 1 where there are problems, 3 for bad use."""
    vocabularies = _vocabularies(target)
    findings = [
        Finding("<stdin>" if path == "-" else path, problem)
        for path in files
        for problem in lint(_read(path), path, vocabularies)
    ]
    if output is Format.JSON:
        sys.stdout.write(rendering.as_json(findings, len(files)))
    elif output is Format.SARIF:
        sys.stdout.write(rendering.sarif(findings, importlib.metadata.version("perfrun")))
    else:
        sys.stdout.write(rendering.text(findings))
        sys.stderr.write(_summary(findings, len(files)))
    if findings:
        raise typer.Exit(1)


def _read(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Stop(f"{path} cannot be read ({error.strerror}); expected a feature file") from error


def _summary(findings: list[Finding], files: int) -> str:
    checked = f"{files} file{'' if files == 1 else 's'} checked"
    if not findings:
        return f"{checked}, nothing wrong\n"
    return f"{checked}, {len(findings)} problem{'' if len(findings) == 1 else 's'}\n"


def _vocabularies(target: Path | None) -> tuple[Vocabulary, ...]:
    third_party = bool(importlib.metadata.entry_points(group="perfrun.capabilities"))
    if target is None and not third_party:
        return builtin()
    from perfrun.cli.targets import read_target  # noqa: PLC0415 -- loads the models

    spec = read_target(target) if target else None
    if not third_party:
        return builtin(spec.metrics, tuple(spec.telemetry.metrics), tuple(spec.forecast.metrics)) if spec else builtin()
    from perfrun.capabilities.registry import vocabularies  # noqa: PLC0415 -- loads what measuring needs

    return vocabularies(spec)
