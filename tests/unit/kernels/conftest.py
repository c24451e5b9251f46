"""Keeps torch to one thread, so that these tests share a small machine well; small models, and servers of models."""

from collections.abc import Callable, Iterator

import pytest
import torch
from server import Behaviour, Server

from perfrun_kernels.sampling.parameters import Architecture, BuiltinParameters, SamplingOptions, StoppingRule

TINY = Architecture(hidden_size=16, intermediate_size=32, layers=2, heads=2, kv_heads=1, vocab_size=40)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> Architecture:
    return TINY


@pytest.fixture
def options() -> SamplingOptions:
    return SamplingOptions(
        temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0, presence_penalty=0.0, seed=0
    )


@pytest.fixture
def builtin(options: SamplingOptions) -> BuiltinParameters:
    return BuiltinParameters(
        size="small", architecture=TINY, path=None, dtype="float32", model_seed=0, batch_size=3, sequence_length=5,
        num_tokens=6, sampling=options, device="cpu", threads=1,
        stopping=StoppingRule(min_samples=10, max_rounds=100, looks=(), looks_skip=0, limit_seconds=0.0),
    )  # fmt: skip


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], Server]]:
    """Start servers that behave as they are told; all of them end with the test."""
    servers: list[Server] = []

    def start(behaviour: Behaviour) -> Server:
        servers.append(Server(behaviour))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
