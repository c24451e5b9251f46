"""How long ``perfrun lint`` on the six features takes as a process: what an editor or a commit hook waits for."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 15
LIMIT_MS = 300


def run() -> list[tuple[str, float, float, float, float]]:
    """Return the row: name, median, least, most, and the promised limit, in milliseconds.

    Raises:
        subprocess.CalledProcessError: the features are not found sound.
    """
    command = [str(Path(sys.executable).with_name("perfrun")), "lint", *map(str, (ROOT / "features").glob("*.feature"))]
    # As on a user's machine, where Python keeps what it compiled; build environments often switch that off.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    took = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        took.append((time.perf_counter() - begun) * 1000)
    # The first run may compile modules and fill the page cache.
    took = took[1:]
    return [("perfrun lint, six features, as a process", statistics.median(took), min(took), max(took), LIMIT_MS)]


if __name__ == "__main__":
    for name, median, least, most, limit in run():
        print(f"{name}: median {median:.0f} ms, min {least:.0f}, max {most:.0f} (promised: < {limit} ms)")
