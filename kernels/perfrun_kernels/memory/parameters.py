"""What the memory program can be asked, checked before anything heavy is imported.

What it shares with the sampling program (the model or the server, and how tokens are drawn) is checked by that.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs

from perfrun_kernels.arguments import Arguments
from perfrun_kernels.sampling import parameters as sampling

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST_SECONDS = 10.0
"""What an attempt watches at least, however little its predecessors have left to do."""

MOST_PREFIX_TOKENS = 100_000_000

_CLIENT = (
    "url",
    "model_name",
    "api",
    "api_key_env",
    "extensions",
    "stall_seconds",
    "max_failed_rounds",
    "server",
    "metrics_url",
)
_SHARED = {"builtin": ("model", "device", "threads", "sampling"), "openai": (*_CLIENT, "sampling")}
"""What the sampling program reads for each engine."""


@attrs.frozen
class Work:
    """What is kept under way, and for how long; tokens are counted, times are in seconds.

    ``batches`` of ``batch_size`` prompts are at work at once. A prompt is one of ``prefixes`` shared prefixes of
    ``prefix_tokens`` and ``unique_tokens`` of its own; ``num_tokens`` are generated for it. Of ``soak_seconds`` earlier
    attempts have done ``done_seconds`` in as many ``segments``. ``seed`` is that of the prompts.
    """

    batches: int
    batch_size: int
    prefix_tokens: int
    prefixes: int
    unique_tokens: int
    num_tokens: int
    soak_seconds: float
    samples_every: float
    checkpoint_seconds: float
    done_seconds: float
    segments: int
    seed: int

    @property
    def left_seconds(self) -> float:
        """Return how long this attempt watches."""
        return max(LEAST_SECONDS, self.soak_seconds - self.done_seconds)

    @property
    def prompt_tokens(self) -> int:
        """Return the length of a prompt."""
        return self.prefix_tokens + self.unique_tokens


@attrs.frozen
class Builtin:
    """A request to watch the built-in engine: ``decode`` names its model, ``blocks`` of ``block_tokens`` its cache."""

    work: Work
    decode: sampling.BuiltinParameters
    block_tokens: int
    blocks: int


@attrs.frozen
class Served:
    """A request to watch a server; ``client`` says which."""

    work: Work
    client: sampling.OpenAIParameters


def parse(data: Mapping[str, Any]) -> Builtin | Served:
    """Read the program's parameters.

    Raises:
        ParametersError: something is missing, unknown or out of bounds; the message names all of it.
    """
    arguments = Arguments(data)
    engine = arguments.choice("engine", "builtin", ("builtin", "openai"))
    shared = {name: data[name] for name in _SHARED[engine] if arguments.has(name)}
    work = _work(arguments)
    block_tokens = blocks = 0
    if engine == "builtin":
        block_tokens = arguments.integer("block_tokens", 16, least=1, most=1024)
        blocks = arguments.integer("blocks", 2048, least=1)
        needed = work.batch_size * math.ceil((work.prompt_tokens + work.num_tokens) / block_tokens) + 1
        if blocks < needed:
            arguments.complain("blocks", blocks, f"at least {needed}, which one batch may need")
    arguments.finish()
    asked = sampling.parse(
        shared
        | {
            "engine": engine, "batch_size": work.batch_size, "sequence_length": work.prompt_tokens,
            "num_tokens": work.num_tokens,
        }
    )  # fmt: skip
    work = attrs.evolve(work, seed=asked.sampling.seed)
    if isinstance(asked, sampling.OpenAIParameters):
        return Served(work, asked)
    return Builtin(work, asked, block_tokens, blocks)


def _work(arguments: Arguments) -> Work:
    work = Work(
        batches=arguments.integer("batches", 4, least=1, most=1024),
        batch_size=arguments.integer("batch_size", 4, least=1, most=sampling.MAX_BATCH),
        prefix_tokens=arguments.integer("prefix_tokens", 512, least=0, most=sampling.MAX_TOKENS),
        prefixes=arguments.integer("prefixes", 4, least=1),
        unique_tokens=arguments.integer("unique_tokens", 16, least=1, most=sampling.MAX_TOKENS),
        num_tokens=arguments.integer("num_tokens", 32, least=1, most=sampling.MAX_TOKENS),
        soak_seconds=arguments.number("soak_seconds", 120.0, above=0),
        samples_every=arguments.number("samples_every", 0.3, above=0),
        checkpoint_seconds=arguments.number("checkpoint_seconds", 60.0, above=0),
        done_seconds=arguments.number("done_seconds", 0.0, least=0),
        segments=arguments.integer("segments", 0, least=0),
        seed=0,
    )
    if work.prefixes * work.prefix_tokens > MOST_PREFIX_TOKENS:
        most = MOST_PREFIX_TOKENS // work.prefix_tokens
        arguments.complain("prefixes", work.prefixes, f"at most {most}, for that many tokens are kept")
    return work
