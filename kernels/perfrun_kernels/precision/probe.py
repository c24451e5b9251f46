"""What makes labels of a model's vectors, so that two models can be told apart by what they know of a text.

A linear probe by least squares with a ridge: it has one solution, which nothing but the vectors decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

RIDGE: Final = 1.0
"""Weight of the penalty, for vectors of length 1 in their hundreds and thousands."""


@attrs.frozen
class Probe:
    """``weights`` score each of the ``labels`` for a vector and a constant, [width + 1, labels], float64."""

    labels: tuple[str, ...]
    weights: torch.Tensor

    def right(self, vectors: torch.Tensor, labels: Sequence[str]) -> torch.Tensor:
        """Return which of the vectors, [texts, width], get their own label; one that is not finite gets none."""
        best = (_with_constant(vectors) @ self.weights).argmax(1)
        # A label that the probe has never seen is not one that it can give.
        own = torch.tensor([self.labels.index(each) if each in self.labels else -1 for each in labels])
        return (best == own) & torch.isfinite(vectors).all(1)


def fit(vectors: torch.Tensor, labels: Sequence[str]) -> Probe:
    """Return the probe that fits the vectors, [texts, width], float64, to their labels best."""
    names = tuple(sorted(set(labels)))
    wanted = torch.tensor([[float(each == name) for name in names] for each in labels], dtype=torch.float64)
    known = _with_constant(vectors)
    ridge = RIDGE * torch.eye(known.shape[1], dtype=torch.float64)
    ridge[-1, -1] = 0.0
    return Probe(names, torch.linalg.solve(known.T @ known + ridge, known.T @ wanted))


def _with_constant(vectors: torch.Tensor) -> torch.Tensor:
    return torch.cat([vectors, torch.ones(len(vectors), 1, dtype=torch.float64)], dim=1)
