"""Series as blocks of a Prometheus database: OpenMetrics text through ``promtool tsdb create-blocks-from``."""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from historybed.series import Series

from perfrun.devcluster import tools

BLOCK: Final = "162h"
"""Longest block: promtool reads the whole text once for each."""


def backfill(series: Iterable[Series], data: Path) -> None:
    """Write the series into the database at ``data``, for a server that is not running yet.

    Raises:
        RuntimeError: promtool refused them.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".om", prefix="perfrun-history-") as text:
        written = sum(_write(each, text) for each in series)
        text.write("# EOF\n")
        text.flush()
        if not written:
            return
        data.mkdir(parents=True, exist_ok=True)
        command: list[Any] = [tools.binary("promtool"), "tsdb", "create-blocks-from", f"--max-block-duration={BLOCK}"]
        done = subprocess.run(
            [*command, "openmetrics", "--quiet", text.name, data], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"promtool could not make blocks: {done.stderr.strip()[-500:]}")


def _write(series: Series, text: TextIO) -> int:
    head = labelled(series)
    text.writelines(_lines(head, series))
    return int(series.times.size)


def _lines(head: str, series: Series) -> Iterator[str]:
    for moment, value in zip(series.times.tolist(), series.values.tolist(), strict=True):
        yield f"{head} {value if math.isfinite(value) else _special(value)} {moment:.3f}\n"


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def labelled(series: Series) -> str:
    """Return the series' name and labels as exposition formats write them."""
    labels = dict(series.labels)
    name = labels.pop("__name__")
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
