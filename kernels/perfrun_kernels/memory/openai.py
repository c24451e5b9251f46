"""Batches under way at a server: what its prefix cache found again, by its own count.

The server's counters are read while nothing of this client is under way, and count only where they tell of as many
requests as it sent: else others used the server, or the counters are those of one of several replicas. Where they do
not serve, what the server says in each answer does. Its memory is not visible to its client: nothing stands in for it.

A server keeps its cache from run to run, so prompts are new in each: ``prompts`` in the facts is what they are drawn
from. Its tokenizer makes of the words what it likes, so that what a cache can find at best is a share of its own count.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import aiohttp
import attrs

from perfrun_kernels.contract import Scalar
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.memory.workload import Prompts
from perfrun_kernels.program import Measurement
from perfrun_kernels.sampling.asking import WORDS, endpoint, headers_of, request_body
from perfrun_kernels.sampling.openai import pause
from perfrun_kernels.sampling.stream import Completion, StreamFault, complete
from perfrun_kernels.servers.beside import Beside
from perfrun_kernels.servers.reading import Reading
from perfrun_kernels.servers.tables import SERVERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfrun_kernels.memory.parameters import Served
    from perfrun_kernels.program import Fact, Task

NOT_VISIBLE: Final = "the server's memory is not visible to its client"
GRACE_SECONDS: Final = 120.0
"""What batches that are under way at the end may still take."""


@attrs.frozen
class Found:
    """Prompt tokens that a prefix cache was asked for and had, and ``by`` whose count."""

    queries: float
    hits: float
    by: str


class Pipeline:
    """Keeps batches under way at one server, and counts what comes back."""

    def __init__(self, parameters: Served, prompts: int) -> None:
        self._asked, self._work = parameters.client, parameters.work
        self._prompts = Prompts(attrs.evolve(self._work, seed=self._work.seed + prompts), len(WORDS))
        self._seed = self._work.seed
        self.whole = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.silent = 0
        self.faults: Counter[str] = Counter()

    def ideal(self) -> float:
        """Return the share of all prompt tokens that an unlimited cache finds, which servers keep in whole blocks."""
        return self._prompts.repeated() / max(1, self._prompts.made * self._work.prompt_tokens)

    async def run(self, headers: dict[str, str], seconds: float) -> None:
        """Keep all batches under way for so long, and return when the last of them is done.

        Raises:
            UnmeasurableError: the server does not answer as it should.
        """
        until = time.perf_counter() + seconds
        patience = aiohttp.ClientTimeout(total=None, sock_connect=self._asked.stall_seconds)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=patience, connector=connector) as session:
            lanes = [asyncio.create_task(self._lane(session, until)) for _ in range(self._work.batches)]
            try:
                async with asyncio.timeout(seconds + GRACE_SECONDS):
                    await asyncio.gather(*lanes)
            except TimeoutError as error:
                text = f"batches were still under way {GRACE_SECONDS:g} s after their time: ask for fewer tokens"
                raise UnmeasurableError("BudgetSpent", text) from error
            finally:
                for lane in lanes:
                    lane.cancel()
                await asyncio.gather(*lanes, return_exceptions=True)

    async def _lane(self, session: aiohttp.ClientSession, until: float) -> None:
        while time.perf_counter() < until:
            waiting = [" ".join(WORDS[each] for each in prompt) for prompt in self._prompts.batch()]
            failed = 0
            while waiting:
                outcomes = await asyncio.gather(*(self._stream(session, each) for each in waiting))
                faults = [each for each in outcomes if isinstance(each, StreamFault)]
                waiting = [each for each, done in zip(waiting, outcomes, strict=True) if isinstance(done, StreamFault)]
                if faults:
                    failed += 1
                    self._judge(faults, failed)
                    await asyncio.sleep(pause(faults, failed))

    async def _stream(self, session: aiohttp.ClientSession, prompt: str) -> Completion | StreamFault:
        self._seed += 1
        body = request_body(self._asked, prompt, self._seed)
        try:
            done = await complete(session, endpoint(self._asked), body, self._asked.stall_seconds)
        except StreamFault as fault:
            return fault
        self.whole += 1
        self.prompt_tokens += done.prompt_tokens or 0
        self.cached_tokens += done.cached_tokens or 0
        self.silent += done.prompt_tokens is None or done.cached_tokens is None
        return done

    def _judge(self, faults: Sequence[StreamFault], failed: int) -> None:
        self.faults.update(fault.reason for fault in faults)
        worst = next((fault for fault in faults if not fault.passing), None)
        if worst is None and failed < self._asked.max_failed_rounds:
            return
        fault = worst or faults[0]
        rounds = "" if worst else f" ({failed} times in a row)"
        raise UnmeasurableError(fault.reason, f"{self._asked.url}: {fault}{rounds}", {"served": self.whole})


def measure(parameters: Served, task: Task) -> Measurement:
    """Keep batches under way for the stated time, stopping for a moment at each checkpoint to read the counters.

    Raises:
        UnmeasurableError: the server or its credential is missing, or it does not answer as it should.
    """
    work, asked = parameters.work, parameters.client
    headers = headers_of(asked)
    prompts = time.time_ns()
    pipeline = Pipeline(parameters, prompts)
    beside = Beside(asked, headers) if asked.server else None
    if beside is not None:
        beside.begin()
    started, left = time.time(), work.left_seconds
    about: dict[str, Fact] = {
        "engine": "openai", "url": asked.url, "model_name": asked.model_name, "api": asked.api, "prompts": prompts,
        "batches": work.batches, "batch_size": work.batch_size, "stop_reason": "budget",
    }  # fmt: skip
    while True:
        began = time.perf_counter()
        asyncio.run(pipeline.run(headers, min(left, work.checkpoint_seconds)))
        left -= time.perf_counter() - began
        measurement = _measurement(pipeline, beside, started, about)
        if left <= 0:
            return measurement
        task.progress(f"{pipeline.whole} streams, {left:.0f} s left")
        task.checkpoint(measurement)


def _measurement(pipeline: Pipeline, beside: Beside | None, started: float, about: dict[str, Fact]) -> Measurement:
    finished = time.time()
    counted = beside.counted() if beside is not None else ""
    found = _found(pipeline, beside, counted)
    facts = about | {
        "served": pipeline.whole,
        "streams_failed": sum(pipeline.faults.values()),
        "prompt_tokens_counted": pipeline.prompt_tokens,
        **{f"faults_{reason}": count for reason, count in sorted(pipeline.faults.items())},
        **(beside.facts(counted) if beside is not None else {}),
    }
    scalars = {"fragmentation.worst": Scalar("1", None, NOT_VISIBLE), "leak": Scalar("bytes", None, NOT_VISIBLE)}
    if isinstance(found, str):
        scalars |= {f"prefix.{name}": Scalar("1", None, found) for name in ("queries", "hits", "ideal")}
    else:
        facts["prefix_counted_by"] = found.by
        scalars |= {
            "prefix.queries": Scalar("1", found.queries), "prefix.hits": Scalar("1", found.hits),
            "prefix.ideal": Scalar("1", round(pipeline.ideal() * found.queries)),
        }  # fmt: skip
    return Measurement(started=started, finished=finished, series={}, scalars=scalars, facts=facts)


def _found(pipeline: Pipeline, beside: Beside | None, counted: Reading | str) -> Found | str:
    """Return what the prefix cache was asked for and had, or why nobody knows."""
    why = "the target does not say what the server is: set spec.llm.server"
    if isinstance(counted, Reading) and beside is not None:
        numbers = counted.numbers
        why = _unfit(numbers.get("requests"), pipeline.whole)
        if "prefix_queries" not in numbers or "prefix_hits" not in numbers:
            why = f"{SERVERS[beside.server].title} shows no metric of its prefix cache"
        elif not why:
            return Found(numbers["prefix_queries"], numbers["prefix_hits"], "metrics")
    elif beside is not None:
        why = str(counted)
    if pipeline.whole and not pipeline.silent:
        return Found(pipeline.prompt_tokens, pipeline.cached_tokens, "usage")
    return f"{why}; and its answers do not say what was cached (usage.prompt_tokens_details.cached_tokens)"


def _unfit(counted: float | None, sent: int) -> str:
    if counted is None or counted == sent:
        return ""
    whose = "others used it" if counted > sent else "its metrics are those of only some of its replicas"
    return f"the server counted {counted:.0f} requests meanwhile, of this client were {sent}: {whose}"
