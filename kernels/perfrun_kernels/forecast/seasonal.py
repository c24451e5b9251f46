"""Splitting a history into its seasons and the rest, by MSTL (Bandara, Hyndman and Bergmeir, 2021)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.forecast.past import Floats, Past

_JUMPS: Final = 20
"""Points of the longest season at which the trend is fitted; between them it is drawn straight, as R's stl does."""

_SEASONAL_JUMP: Final = 2
"""The same of what a season's course becomes from cycle to cycle, in cycles."""


@attrs.frozen(eq=False)
class Split:
    """``rest`` is the history without its seasons, ``cycles`` the last cycle of each; logarithms where it says so."""

    rest: Floats
    cycles: tuple[Floats, ...]
    logarithmic: bool

    def ahead(self, rest: Floats) -> Floats:
        """Put the seasons back onto what was foretold of the rest."""
        steps = np.arange(rest.size)
        whole = rest + sum((cycle[steps % cycle.size] for cycle in self.cycles), np.zeros(rest.size))
        return np.exp(whole) if self.logarithmic else np.asarray(whole)


@lru_cache(maxsize=2)
def split(past: Past, *, logarithmic: bool) -> Split:
    """Split a history; one without seasons is its own rest. What was split last is kept, for several models ask."""
    values = np.log(past.values) if logarithmic else past.values
    if not past.seasons:
        return Split(values, (), logarithmic)
    # Loaded here: pandas and what comes with it take seconds, and pods of other programs may lack them.
    from statsforecast.mstl import mstl  # noqa: PLC0415

    jump = max(1, past.seasons[-1] // _JUMPS)
    parts = mstl(
        values, list(past.seasons), iterate=1,
        stl_kwargs={"seasonal_jump": _SEASONAL_JUMP, "trend_jump": jump, "low_pass_jump": jump},
    )  # fmt: skip
    names = [f"seasonal{season}" for season in past.seasons] if len(past.seasons) > 1 else ["seasonal"]
    cycles = tuple(parts[name].to_numpy()[-season:] for name, season in zip(names, past.seasons, strict=True))
    return Split((parts["trend"] + parts["remainder"]).to_numpy(), cycles, logarithmic)
