"""The units that features may use, defined for pint, and the table that is generated from them.

Importing pint takes longer than checking a feature may take. So what pint says about every usual unit is written
down in ``unit_table.py`` (``python -m perfrun.language.units`` writes it, a test holds it to pint), and pint itself
is loaded only for a combination that the table lacks, such as ``GB/h``. The definitions are our own and not pint's
default ones because there a bit is a bare number: "latency below 8 GB" would be a matter of scale.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PREFIXES = (
    "nano- = 1e-9 = n-", "micro- = 1e-6 = µ- = u-", "milli- = 1e-3 = m-",
    "kilo- = 1e3 = k- = K-", "mega- = 1e6 = M-", "giga- = 1e9 = G-", "tera- = 1e12 = T-", "peta- = 1e15 = P-",
    "kibi- = 1024 = Ki-", "mebi- = 1048576 = Mi-", "gibi- = 1073741824 = Gi-", "tebi- = 1099511627776 = Ti-",
)  # fmt: skip
_UNITS = (
    "second = [time] = s = sec",
    "minute = 60 * second = min",
    "hour = 60 * minute = h = hr",
    "day = 24 * hour = d",
    "week = 7 * day = w",
    "bit = [information]",
    "byte = 8 * bit = B",
    "token = [token]",
    "request = [request] = req",
    "packet = [packet]",
    "core = [core]",
    "percent = 0.01 = %",
    "ratio = 1 = x",
    "bps = bit / second",
    "Bps = byte / second",
    "qps = request / second",
    "rps = request / second",
    "tps = token / second",
)

_COUNTED = {"[token]": "tokens", "[request]": "requests", "[packet]": "packets", "[core]": "cores"}


@functools.cache
def registry() -> Any:
    """Return the pint registry with the units above; the first call imports pint."""
    import pint  # noqa: PLC0415 -- takes a third of a second, and most features never need it

    units: Any = pint.UnitRegistry(None)
    for line in (*_PREFIXES, *_UNITS):
        units.define(line)
    return units


def ask_pint(unit: str) -> tuple[str, float]:
    """Return a unit's dimension and how many base units (seconds, bits, ...) it is.

    Raises:
        KeyError: pint does not know the unit.
    """
    import pint  # noqa: PLC0415 -- as above

    units = registry()
    spelled = unit.replace("%", "percent")
    try:
        quantity = units.Quantity(1.0, "" if spelled == "1" else spelled)
        base = quantity.to_base_units()
    except (pint.PintError, AttributeError, TypeError, ValueError) as error:
        raise KeyError(unit) from error
    return _dimension(unit, {str(name): float(power) for name, power in base.dimensionality.items()}), base.magnitude


def _dimension(unit: str, powers: dict[str, float]) -> str:
    if not powers:
        return {"": "count", "1": "count", "ratio": "ratio", "x": "ratio"}.get(unit, "percent")
    above = [name for name, power in powers.items() if power > 0]
    below = [name for name, power in powers.items() if power < 0]
    names = _COUNTED | {"[time]": "time", "[information]": "bits" if below else "bytes"}
    top = "*".join(sorted(names[name] for name in above)) or "1"
    return "/".join([top, *sorted(names[name] for name in below)])


def usual() -> Iterator[tuple[str, str]]:
    """Yield each usual spelling with the spelling that stands for it in status."""
    yield from (("", ""), ("1", ""), ("%", "%"), ("percent", "%"), ("x", "x"), ("times", "x"), ("ratio", "ratio"))
    yield from _times()
    sizes = dict(_sizes())
    yield from sizes.items()
    for spelling, sign in sizes.items():
        yield from ((f"{spelling}/s", f"{sign}/s"), (f"{spelling} per second", f"{sign}/s"))
    for prefix in ("", "k", "K", "M", "G", "T"):
        yield from (
            (f"{prefix}bps", f"{prefix.replace('K', 'k')}bit/s"),
            (f"{prefix}Bps", f"{prefix.replace('K', 'k')}B/s"),
        )
    counted = {"token": "tokens", "tokens": "tokens", "request": "requests", "requests": "requests", "req": "requests",
               "packet": "packets", "packets": "packets"}  # fmt: skip
    yield from counted.items()
    yield from (("core", "cores"), ("cores", "cores"), ("millicores", "millicores"))
    for noun, per in (("s", "s"), ("second", "s"), ("sec", "s"), ("minute", "min"), ("min", "min")):
        yield from ((f"1/{noun}", f"1/{per}"), (f"/{noun}", f"1/{per}"), (f"per {noun}", f"1/{per}"))
        for spelling, sign in counted.items():
            yield from ((f"{spelling}/{noun}", f"{sign}/{per}"), (f"{spelling} per {noun}", f"{sign}/{per}"))
    yield from (("qps", "requests/s"), ("rps", "requests/s"), ("tps", "tokens/s"))


def _times() -> Iterator[tuple[str, str]]:
    for prefix, short in (("nano", "n"), ("micro", "µ"), ("milli", "m"), ("", "")):
        yield from ((f"{short}s", f"{short}s"), (f"{prefix}second", f"{short}s"), (f"{prefix}seconds", f"{short}s"))
    yield from (("us", "µs"), ("sec", "s"), ("secs", "s"))
    for names, sign in (
        ("min mins minute minutes", "min"),
        ("h hr hrs hour hours", "h"),
        ("d day days", "d"),
        ("w week weeks", "w"),
    ):
        yield from ((name, sign) for name in names.split())


def _sizes() -> Iterator[tuple[str, str]]:
    yield from (("B", "B"), ("byte", "B"), ("bytes", "B"), ("bit", "bit"), ("bits", "bit"))
    for prefix, short in (("kilo", "k"), ("mega", "M"), ("giga", "G"), ("tera", "T"), ("peta", "P"),
                          ("kibi", "Ki"), ("mebi", "Mi"), ("gibi", "Gi"), ("tebi", "Ti")):  # fmt: skip
        yield from ((f"{short}B", f"{short}B"), (f"{prefix}byte", f"{short}B"), (f"{prefix}bytes", f"{short}B"))
        yield from ((f"{short}bit", f"{short}bit"), (f"{prefix}bit", f"{short}bit"), (f"{prefix}bits", f"{short}bit"))
    yield ("KB", "kB")


def pint_spelling(unit: str) -> str:
    """Return a usual spelling in a form that pint reads."""
    spelled = unit.replace("per ", "/ ") if unit.startswith("per ") else unit.replace(" per ", " / ")
    spelled = "1" + spelled if spelled.startswith("/") else spelled
    return {"times": "x"}.get(spelled, spelled)


def table() -> str:
    """Return the source of ``unit_table.py``."""
    lines = []
    for spelling, sign in usual():
        dimension, factor = ask_pint(pint_spelling(spelling))
        lines.append(f"    {spelling!r}: ({sign!r}, {dimension!r}, {factor!r}),".replace("'", '"'))
    return "\n".join([
        '"""What pint says about every usual unit; written by ``python -m perfrun.language.units``, not by hand."""',
        "",
        "from typing import Final",
        "",
        "USUAL: Final[dict[str, tuple[str, str, float]]] = {",
        *lines,
        "}",
        '"""Spelling → the spelling in status, dimension, and how many base units (seconds, bits, ...) it is."""',
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("unit_table.py")).write_text(table())
