"""Measuring a server with an OpenAI-compatible API by what its clients see of the token stream.

Rounds of ``batch_size`` concurrent streams are repeated. A round counts when all of its streams are whole, for only
then did the stated number run at once. A server may turn streams away (429, 5xx) before it answers, and the round
is tried again; a stream that stalls, breaks off or turns into nonsense ends the measurement without a value.

Chunks may carry several tokens. The gap between two chunks is then reported as one inter-token time, undivided: it is
what a reader waits, and an upper bound for each token in it. ``tokens_per_chunk`` in the facts tells.

Prompts are new in each measurement: a server that goes on between two of them remembers those of the first, and the
second would find it faster than it is. ``prompts`` in the facts is what the words are drawn from.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import aiohttp

from perfrun_kernels.contract import Scalar
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.program import Measurement
from perfrun_kernels.sampling.asking import endpoint, headers_of, random_words, request_body
from perfrun_kernels.sampling.memory import host_memory_peak
from perfrun_kernels.sampling.samples import Samples
from perfrun_kernels.sampling.stopping import Watch
from perfrun_kernels.sampling.stream import Completion, StreamFault, complete
from perfrun_kernels.servers.beside import Beside

if TYPE_CHECKING:
    from perfrun_kernels.program import Fact, Progress
    from perfrun_kernels.sampling.parameters import OpenAIParameters

NOT_VISIBLE = "the server's GPU memory is not visible to its client"
SEED_STRIDE = 10_007
SEED_SPACE = 2**31
LEAST_LEVELS_SECONDS = 1.0
LEVELS = 30
"""Times that a server's own levels are looked at within the budget, not more often than once a second."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0


class Client:
    """Runs rounds against one server and counts what happens."""

    def __init__(self, parameters: OpenAIParameters, progress: Progress, prompts: int) -> None:
        self._parameters = parameters
        self._progress = progress
        self._prompts = prompts
        self.samples = Samples()
        self.faults: Counter[str] = Counter()
        self.whole = 0
        self.cut = 0
        self.chunks = 0
        self.tokens = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.uncounted = 0
        self._last: StreamFault | None = None

    async def run(self, watch: Watch, headers: dict[str, str]) -> None:
        """Repeat rounds until ``watch`` ends it.

        Raises:
            UnmeasurableError: the server cannot be measured.
        """
        patience = aiohttp.ClientTimeout(total=None, sock_connect=self._parameters.stall_seconds)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, timeout=patience, connector=connector) as session:
            number, failed, stop = 0, 0, False
            while not stop:
                try:
                    async with asyncio.timeout(watch.left()):
                        outcomes = await self._round(session, number)
                except TimeoutError:
                    self.cut += self._parameters.batch_size
                    watch.reason = "budget"
                    break
                number += 1
                faults = [each for each in outcomes if isinstance(each, StreamFault)]
                if faults:
                    failed += 1
                    self._judge(faults, failed)
                    await asyncio.sleep(min(pause(faults, failed), watch.left()))
                    continue
                failed = 0
                stop = self._count([each for each in outcomes if isinstance(each, Completion)], watch)
                self._progress(
                    f"round {number}: {self.whole} streams, {watch.left():.0f} s left {watch.reason}".rstrip()
                )
        if not self.samples.step and self._last is not None:
            raise UnmeasurableError(
                self._last.reason,
                f"{self._parameters.url}: {self._last}, "
                f"and no round of {self._parameters.batch_size} streams was whole when the budget was spent",
                self.facts(),
            )
        if not self.samples.step:
            raise UnmeasurableError(
                "BudgetSpent",
                f"not one round of {self._parameters.batch_size} streams was whole when the budget was spent: "
                "raise the budget, or ask for fewer tokens",
                self.facts(),
            )

    def facts(self) -> dict[str, Fact]:
        """Return the counts so far."""
        found: dict[str, Fact] = {
            "streams_complete": self.whole,
            "streams_failed": sum(self.faults.values()),
            "streams_cut": self.cut,
            "chunks": self.chunks,
            "tokens": self.tokens,
            "tokens_counted_by": "chunks" if self.uncounted or not self.whole else "usage",
            "prompt_tokens_counted": self.prompt_tokens,
            "prompts": self._prompts,
            **{f"faults_{reason}": count for reason, count in sorted(self.faults.items())},
        }
        if self.cached_tokens:
            found["prompt_tokens_cached"] = self.cached_tokens
        if self.chunks:
            found["tokens_per_chunk"] = round(self.tokens / self.chunks, 4)
        return found

    async def _round(self, session: aiohttp.ClientSession, number: int) -> list[Completion | StreamFault]:
        return await asyncio.gather(
            *(self._stream(session, number, index) for index in range(self._parameters.batch_size))
        )

    async def _stream(self, session: aiohttp.ClientSession, number: int, index: int) -> Completion | StreamFault:
        asked = self._parameters
        seed = (asked.sampling.seed + number * SEED_STRIDE + index) % SEED_SPACE
        body = request_body(asked, random_words(asked.prompt_tokens, seed + self._prompts * SEED_SPACE), seed)
        try:
            return await complete(session, endpoint(asked), body, asked.stall_seconds)
        except StreamFault as fault:
            return fault

    def _judge(self, faults: list[StreamFault], failed: int) -> None:
        self.faults.update(fault.reason for fault in faults)
        self._last = faults[0]
        worst = next((fault for fault in faults if not fault.passing), None)
        if worst is None and failed < self._parameters.max_failed_rounds:
            self._progress(f"{len(faults)} streams were turned away ({faults[0].reason}); trying again")
            return
        fault = worst or faults[0]
        rounds = "" if worst else f", and so in {failed} rounds in a row"
        raise UnmeasurableError(
            fault.reason,
            f"{self._parameters.url}: {fault} ({len(faults)} of {self._parameters.batch_size} streams{rounds})",
            self.facts(),
        )

    def _count(self, completions: list[Completion], watch: Watch) -> bool:
        samples, stopped = self.samples, False
        first = min(each.arrivals[0] for each in completions)
        last = max(each.arrivals[-1] for each in completions)
        decoded = sum(each.tokens - 1 for each in completions)
        for each in completions:
            samples.begin()
            gaps = [later - earlier for earlier, later in pairwise(each.arrivals)]
            samples.step.extend(gaps)
            stopped = any([watch.step(gap) for gap in gaps]) or stopped  # noqa: C419 -- every gap must be counted
            ttft, e2e = each.arrivals[0] - each.sent, each.arrivals[-1] - each.sent
            samples.ttft.append(ttft)
            samples.e2e.append(e2e)
            samples.tpot.append((e2e - ttft) / max(1, each.tokens - 1))
            samples.overhead_seconds += each.handling_seconds
            samples.overhead_steps += len(each.arrivals)
            self.chunks += len(each.arrivals)
            self.tokens += each.tokens
            self.prompt_tokens += each.prompt_tokens or 0
            self.cached_tokens += each.cached_tokens or 0
            self.uncounted += each.completion_tokens is None
        samples.rounds += 1
        samples.tokens += decoded
        samples.decode_seconds += last - first
        samples.rate.append(decoded / (last - first))
        self.whole += len(completions)
        return watch.round() or stopped


def measure(parameters: OpenAIParameters, budget_seconds: float, progress: Progress) -> Measurement:
    """Stream rounds from the server until the stopping rule or the budget ends it.

    Raises:
        UnmeasurableError: the server, its credential or a whole round is missing.
    """
    headers = headers_of(parameters)
    client = Client(parameters, progress, time.time_ns())
    beside = Beside(parameters, headers) if parameters.server else None
    if beside is not None:
        beside.begin()
    started = time.time()
    watch = Watch(parameters.stopping, time.perf_counter() + budget_seconds, time.perf_counter)
    asyncio.run(_run(client, watch, headers, beside, max(LEAST_LEVELS_SECONDS, budget_seconds / LEVELS)))
    finished = time.time()
    return Measurement(
        started=started,
        finished=finished,
        series=client.samples.series(),
        scalars={
            "throughput": client.samples.throughput(),
            "gpu_memory_peak": Scalar("bytes", None, NOT_VISIBLE),
            "torch_memory_peak": Scalar("bytes", None, NOT_VISIBLE),
            "host_memory_peak": host_memory_peak(),
            "harness_overhead_per_step": client.samples.overhead(),
        },
        facts={
            "engine": "openai",
            "url": parameters.url,
            "model_name": parameters.model_name,
            "api": parameters.api,
            "batch_size": parameters.batch_size,
            "prompt_tokens": parameters.prompt_tokens,
            "num_tokens": parameters.num_tokens,
            "sampling_sent": "all" if parameters.extensions else "temperature, top_p, presence_penalty, seed",
            "rounds": client.samples.rounds,
            "stop_reason": watch.reason,
            **client.facts(),
            **(beside.facts(beside.counted()) if beside is not None else {}),
        },
    )


async def _run(client: Client, watch: Watch, headers: dict[str, str], beside: Beside | None, every: float) -> None:
    """Run the rounds, and look at the server's own levels meanwhile."""
    if beside is None:
        return await client.run(watch, headers)
    looking = asyncio.create_task(beside.watch(every))
    try:
        return await client.run(watch, headers)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def pause(faults: list[StreamFault], failed: int) -> float:
    """Return the seconds to wait after so many failures in a row: longer each time, and no shorter than asked for."""
    asked = max(fault.wait_seconds for fault in faults)
    return max(asked, min(FIRST_PAUSE_SECONDS * float(2 ** (failed - 1)), LONGEST_PAUSE_SECONDS))
