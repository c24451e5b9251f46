"""perfrun's client beside aiperf at one server of others: ``transformers serve`` with a tiny decoder on this CPU.

Both stream the same number of requests of the same lengths in turn, one at a time and then several at once. What each
reports as a mean is compared; ``bench/serverbed/README.md`` explains where they differ by what they are.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from serverbed import aiperf, serving, tiny

from perfrun_kernels.sampling import openai
from perfrun_kernels.sampling.parameters import OpenAIParameters, parse

TURNS = 3
REQUESTS = 40
PROMPT_TOKENS = 32
TOKENS = 32
AT_ONCE = (1, 4)
BUDGET_SECONDS = 300.0
SEEN = {"ttft": "time to first token", "tpot": "time between tokens", "e2e": "whole request"}

Row = tuple[str, float, float, float, float]


def run() -> list[Row]:
    """Return the means of perfrun and of aiperf in milliseconds, and the one as a share of the other in percent."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tiny.save(folder / "model")
        with serving.serving(folder / "model", folder / "log") as url:
            for at_once in AT_ONCE:
                rows += _compare(url, folder, at_once)
    return rows


def _compare(url: str, folder: Path, at_once: int) -> list[Row]:
    ours, theirs = list[aiperf.Seen](), list[aiperf.Seen]()
    for turn in range(TURNS):
        asked = aiperf.Asked(
            url, str(folder / "model"), at_once, REQUESTS, PROMPT_TOKENS, TOKENS, seed=time.time_ns() % 2**31
        )
        ours.append(_ours(asked))
        theirs.append(aiperf.measure(asked, folder / f"aiperf-{at_once}-{turn}"))
    rows = list[Row]()
    for name, words in SEEN.items():
        mine, other = ([1e3 * getattr(each, name) for each in seen] for seen in (ours, theirs))
        ratios = [100 * one / another for one, another in zip(mine, other, strict=True)]
        where = f"{words}, {at_once} at once"
        rows += [
            _row(f"perfrun: {where}, ms", mine), _row(f"aiperf {aiperf.VERSION}: {where}, ms", other),
            _row(f"perfrun of aiperf: {where}, %", ratios),
        ]  # fmt: skip
    return rows


def _ours(asked: aiperf.Asked) -> aiperf.Seen:
    parameters = parse(
        {
            "engine": "openai", "url": asked.url, "model_name": asked.model, "batch_size": asked.concurrency,
            "prompt_tokens": asked.prompt_tokens, "num_tokens": asked.tokens, "min_samples": 10**9,
            "max_rounds": asked.requests // asked.concurrency, "sampling": {"seed": asked.seed},
        }
    )  # fmt: skip
    if not isinstance(parameters, OpenAIParameters):
        raise TypeError("these parameters are a client's")
    measured = openai.measure(parameters, BUDGET_SECONDS, lambda _: None)
    mean = {name: statistics.fmean(each.values) for name, each in measured.series.items()}
    return aiperf.Seen(
        ttft=mean["ttft_seconds"], tpot=mean["tpot_seconds"], e2e=mean["e2e_seconds"],
        requests=int(measured.facts["streams_complete"]),
    )  # fmt: skip


def _row(name: str, values: list[float]) -> Row:
    return name, statistics.median(values), min(values), max(values), 0.0


if __name__ == "__main__":
    for name, median, least, most, _ in run():
        print(f"{name}: median {median:.4g}, min {least:.4g}, max {most:.4g}")
