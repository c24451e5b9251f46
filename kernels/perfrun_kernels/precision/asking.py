"""Asking both models for the labels of the same texts, and counting which of them was right.

The probe is fitted to what the model knew before it was converted, and is the same for both: what is lost is lost by
converting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch

from perfrun_kernels.contract import Scalar
from perfrun_kernels.precision import probe
from perfrun_kernels.precision.encoder import tokens, vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from perfrun_kernels.precision.dataset import Item
    from perfrun_kernels.precision.encoder import Encoder
    from perfrun_kernels.precision.parameters import Parameters


@attrs.frozen
class Pairs:
    """How many texts both models, only the one before converting, only the one after, or neither got right.

    ``complete`` tells whether all texts were asked before time ran out.
    """

    both: int
    only_before: int
    only_after: int
    neither: int
    complete: bool

    @property
    def items(self) -> int:
        """Return how many texts were asked."""
        return self.both + self.only_before + self.only_after + self.neither

    def scalars(self) -> dict[str, Scalar]:
        """Return the counts, and the share that each side got right, for a result."""
        counts = {
            "both": self.both, "only_before": self.only_before, "only_after": self.only_after, "neither": self.neither,
        }  # fmt: skip
        if not self.items:
            spent = "the time for measuring was spent before the first texts were asked: raise lowPrecision.budget"
            return {f"accuracy.{name}": Scalar("1", None, spent) for name in counts}
        shares = {"before": self.both + self.only_before, "after": self.both + self.only_after}
        return {f"accuracy.{name}": Scalar("1", float(count)) for name, count in counts.items()} | {
            f"accuracy.{side}": Scalar("1", count / self.items) for side, count in shares.items()
        }


class Asker:
    """Has models read texts in batches on ``device``, until ``expired`` says that time is up."""

    def __init__(
        self, encoder: Encoder, parameters: Parameters, device: torch.device, expired: Callable[[], bool]
    ) -> None:  # fmt: skip
        self._encoder = encoder
        self._parameters = parameters
        self._device = device
        self._expired = expired

    def compare(self, models: Mapping[str, torch.nn.Module], known: Sequence[Item], asked: Sequence[Item]) -> Pairs:
        """Fit the probe to the texts ``known``, then count for the texts ``asked`` which of the models was right."""
        learnt: list[torch.Tensor] = []
        counts, complete = [0, 0, 0, 0], True
        for batch in self._batches(known):
            if self._expired():
                return Pairs(0, 0, 0, 0, complete=False)
            learnt.append(vectors(models["before"], self._tokens(batch)))
        fitted = probe.fit(torch.cat(learnt), [item.label for item in known])
        for batch in self._batches(asked):
            if self._expired():
                complete = False
                break
            taken, labels = self._tokens(batch), [item.label for item in batch]
            before, after = (fitted.right(vectors(models[side], taken), labels) for side in ("before", "after"))
            for index, which in enumerate((before & after, before & ~after, ~before & after, ~before & ~after)):
                counts[index] += int(which.sum())
        both, only_before, only_after, neither = counts
        return Pairs(both, only_before, only_after, neither, complete)

    def _batches(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        size = self._parameters.batch_size
        return [items[at : at + size] for at in range(0, len(items), size)]

    def _tokens(self, batch: Sequence[Item]) -> dict[str, torch.Tensor]:
        return tokens(self._encoder, [item.text for item in batch], self._parameters.sequence_length, self._device)
