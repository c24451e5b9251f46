"""perfrun's client in two ways: in rounds, as the program ``sampling`` runs it, and with a stream for each that ends.

The second is no part of perfrun. It is how other clients keep a number of streams under way, and tells what of a
difference to them comes from the rounds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
from serverbed.seen import Timed, of_timed, timed

from perfrun_kernels.sampling import openai
from perfrun_kernels.sampling.asking import endpoint, random_words, request_body
from perfrun_kernels.sampling.parameters import OpenAIParameters, parse
from perfrun_kernels.sampling.stream import complete

if TYPE_CHECKING:
    from serverbed.seen import Asked, Seen

    from perfrun_kernels.sampling.stream import Completion

BUDGET_SECONDS: Final = 300.0
NEVER: Final = 10**9


def rounds(asked: Asked) -> Seen:
    """Measure in rounds, and return what the program says.

    Raises:
        ValueError: not all requests were answered in full.
    """
    measured = openai.measure(_parameters(asked), BUDGET_SECONDS, lambda _: None)
    if measured.facts["tokens"] != asked.requests * asked.tokens:
        raise ValueError(f"perfrun saw {measured.facts['tokens']} tokens; expected {asked.requests * asked.tokens}")
    ttft, itl, gaps, e2e = (measured.series[f"{each}_seconds"].values for each in ("ttft", "tpot", "step", "e2e"))
    found = Timed(ttft, itl, gaps, e2e, measured.finished - measured.started)
    return of_timed(found, asked, measured.scalars["throughput"].value)


def without_rounds(asked: Asked) -> Seen:
    """Measure with as many streams under way, each followed by another as soon as it ends.

    Raises:
        StreamFault: a stream was not whole.
    """
    completions = asyncio.run(_closed(_parameters(asked), asked.requests))
    return of_timed(timed([(each.sent, each.arrivals) for each in completions], asked.tokens), asked)


async def _closed(parameters: OpenAIParameters, requests: int) -> list[Completion]:
    seeds = iter(range(parameters.sampling.seed, parameters.sampling.seed + requests))

    async def place(session: aiohttp.ClientSession) -> list[Completion]:
        return [
            await complete(
                session, endpoint(parameters),
                request_body(parameters, random_words(parameters.prompt_tokens, seed), seed), parameters.stall_seconds,
            )
            for seed in seeds
        ]  # fmt: skip

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        places = await asyncio.gather(*(place(session) for _ in range(parameters.batch_size)))
    return [each for found in places for each in found]


def _parameters(asked: Asked) -> OpenAIParameters:
    parameters = parse(
        {
            "engine": "openai", "url": asked.url, "model_name": asked.model, "batch_size": asked.at_once,
            "prompt_tokens": asked.prompt_tokens, "num_tokens": asked.tokens, "min_samples": NEVER,
            "max_rounds": asked.requests // asked.at_once, "sampling": {"seed": asked.seed},
        }
    )  # fmt: skip
    if not isinstance(parameters, OpenAIParameters):
        raise TypeError("the parameters of an engine that is no server")
    return parameters
