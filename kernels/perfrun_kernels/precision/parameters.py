"""What the precision program can be asked, checked before anything heavy is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from perfrun_kernels.arguments import Arguments
from perfrun_kernels.faults import UnmeasurableError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRECISIONS = ("FP16", "BF16", "FP8", "INT8")
MEASURED = ("FP16", "BF16")
"""Those to which a whole model can be converted by casting its weights; the others need kernels of their own."""

DEVICES = ("auto", "cpu", "cuda")
FEWEST_ITEMS = 20
MAX_SEED = 2**63 - 1


@attrs.frozen
class Parameters:
    """A request to compare a model before and after converting it.

    ``path`` is a directory with a model and ``dataset`` a file of labelled texts; None stands for those that come with
    this package. ``items`` are the labelled texts at most, one half for fitting the probe and the other for asking.
    """

    path: str | None
    dataset: str | None
    precision: str
    device: str
    batch_size: int
    sequence_length: int
    items: int
    rounds: int
    seed: int


def parse(data: Mapping[str, Any]) -> Parameters:
    """Read the program's parameters.

    Raises:
        ParametersError: something is missing, unknown or out of bounds; the message names all of it.
        UnmeasurableError: the precision is known, but nothing here converts to it.
    """
    arguments = Arguments(data)
    parameters = Parameters(
        path=arguments.text("path"),
        dataset=arguments.text("dataset"),
        precision=arguments.choice("precision", "FP16", PRECISIONS),
        device=arguments.choice("device", "auto", DEVICES),
        batch_size=arguments.integer("batch_size", 32, least=1, most=4096),
        sequence_length=arguments.integer("sequence_length", 128, least=8, most=131_072),
        items=arguments.integer("items", 4000, least=FEWEST_ITEMS, most=10_000_000),
        rounds=arguments.integer("rounds", 40, least=2, most=100_000),
        seed=arguments.integer("seed", 0, least=0, most=MAX_SEED),
    )
    arguments.finish()
    if parameters.precision not in MEASURED:
        raise UnmeasurableError(
            "UnsupportedPrecision",
            f"the model is to be converted to {parameters.precision}, which needs quantised kernels that are not here; "
            f"expected one of {', '.join(MEASURED)}",
        )
    return parameters
