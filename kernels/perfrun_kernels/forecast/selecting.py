"""Choosing among models as one would have had to: by the windows before, the newer the weightier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from perfrun_kernels.forecast.past import Floats

BEST: Final = 4
"""Models whose mean is foretold: it is steadier than the best one, which is chosen from few windows (Clemen, 1989)."""

_FADING: Final = 0.85
"""What a window weighs compared with the next one."""


def chosen(errors: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """Return the best models by their errors on windows so far, oldest first; none where there are no windows."""
    if not errors:
        return ()
    weights = _FADING ** np.arange(len(errors))[::-1]
    faded = {name: float(np.dot(weights, [each[name] for each in errors])) for name in errors[0]}
    return tuple(sorted(faded, key=lambda name: (faded[name], name))[:BEST])


def combined(said: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """Return the mean of what the named models say, the median of all where none is named."""
    if not names:
        return np.asarray(np.median(list(said.values()), axis=0))
    return np.asarray(np.mean([said[name] for name in names], axis=0))
