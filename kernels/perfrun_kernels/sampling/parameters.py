"""What the sampling program can be asked, checked before anything heavy is imported."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs

from perfrun_kernels.arguments import Arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZES = ("small", "medium", "large")
DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda")
APIS = ("chat", "completions")
SERVERS = ("vllm", "sglang", "tgi", "llamacpp", "triton")
MAX_BATCH = 4096
MAX_TOKENS = 1_000_000
MAX_SEED = 2**63 - 1


@attrs.frozen
class Architecture:
    """A Llama decoder: what decides its parameter count and its cost."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    vocab_size: int


@attrs.frozen
class SamplingOptions:
    """How the next token is drawn; ``temperature`` 0 is greedy, ``top_k`` 0 keeps all tokens.

    ``repetition_penalty`` counts the tokens of prompt and answer, ``presence_penalty`` only those of the answer.
    """

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    seed: int


@attrs.frozen
class Look:
    """A moment fixed beforehand at which the count of slow steps may end the measurement."""

    samples: int
    accept_at_most: int
    reject_at_least: int


@attrs.frozen
class StoppingRule:
    """When enough is measured.

    ``looks`` count, among the steps after the first ``looks_skip``, those slower than ``limit_seconds``.
    """

    min_samples: int
    max_rounds: int
    looks: tuple[Look, ...]
    looks_skip: int
    limit_seconds: float


@attrs.frozen
class BuiltinParameters:
    """A request to decode with the built-in engine."""

    size: str
    architecture: Architecture | None
    path: str | None
    dtype: str
    model_seed: int
    batch_size: int
    sequence_length: int
    num_tokens: int
    sampling: SamplingOptions
    device: str
    threads: int | None
    stopping: StoppingRule


@attrs.frozen
class OpenAIParameters:
    """A request to stream from an OpenAI-compatible server; ``batch_size`` streams run at once.

    ``server`` says what it is, "" where nobody said; ``metrics_url`` is where it shows its metrics, "" for its default.
    """

    url: str
    model_name: str
    api: str
    api_key_env: str | None
    server: str
    metrics_url: str
    extensions: bool
    stall_seconds: float
    max_failed_rounds: int
    batch_size: int
    prompt_tokens: int
    num_tokens: int
    sampling: SamplingOptions
    stopping: StoppingRule


def parse(data: Mapping[str, Any]) -> BuiltinParameters | OpenAIParameters:
    """Read the program's parameters.

    Raises:
        ParametersError: something is missing, unknown or out of bounds; the message names all of it.
    """
    arguments = Arguments(data)
    engine = arguments.choice("engine", "builtin", ("builtin", "openai"))
    return _openai(arguments) if engine == "openai" else _builtin(arguments)


def _builtin(arguments: Arguments) -> BuiltinParameters:
    model = arguments.child("model")
    parameters = BuiltinParameters(
        size=model.choice("size", "small", SIZES),
        architecture=_architecture(model.child("config")) if model.has("config") else None,
        path=model.text("path"),
        dtype=model.choice("dtype", "auto", DTYPES),
        model_seed=model.integer("seed", 0, least=0, most=MAX_SEED),
        batch_size=arguments.integer("batch_size", least=1, most=MAX_BATCH),
        sequence_length=arguments.integer("sequence_length", least=1, most=MAX_TOKENS),
        num_tokens=arguments.integer("num_tokens", least=1, most=MAX_TOKENS),
        sampling=_sampling(arguments.child("sampling")),
        device=arguments.choice("device", "auto", DEVICES),
        threads=arguments.integer("threads", least=1, most=1024) if arguments.has("threads") else None,
        stopping=_stopping(arguments),
    )
    if parameters.path is not None and parameters.architecture is not None:
        model.complain("path", parameters.path, "no path beside config: leave one of them out")
    arguments.finish()
    return parameters


def _openai(arguments: Arguments) -> OpenAIParameters:
    url, name = arguments.text("url"), arguments.text("model_name")
    if url is None or not url.startswith(("http://", "https://")):
        arguments.complain("url", url, "the server's base URL, such as http://vllm:8000/v1")
    metrics_url = arguments.text("metrics_url") or ""
    if metrics_url and not metrics_url.startswith(("http://", "https://")):
        arguments.complain("metrics_url", metrics_url, "a URL, such as http://vllm:8000/metrics")
    if name is None:
        arguments.complain("model_name", name, "the model's name as the server's /models lists it")
    length = "prompt_tokens" if arguments.has("prompt_tokens") else "sequence_length"
    for ignored in ("model", "device", "threads", "sequence_length"):
        arguments.has(ignored)
    parameters = OpenAIParameters(
        url=(url or "").rstrip("/"),
        model_name=name or "",
        api=arguments.choice("api", "chat", APIS),
        api_key_env=arguments.text("api_key_env"),
        server=arguments.choice("server", SERVERS[0], SERVERS) if arguments.text("server") else "",
        metrics_url=metrics_url,
        extensions=arguments.flag("extensions", default=False),
        stall_seconds=arguments.number("stall_seconds", 30.0, above=0),
        max_failed_rounds=arguments.integer("max_failed_rounds", 5, least=1),
        batch_size=arguments.integer("batch_size", least=1, most=MAX_BATCH),
        prompt_tokens=arguments.integer(length, least=1, most=MAX_TOKENS),
        num_tokens=arguments.integer("num_tokens", least=2, most=MAX_TOKENS),
        sampling=_sampling(arguments.child("sampling")),
        stopping=_stopping(arguments),
    )
    arguments.finish()
    return parameters


def _architecture(config: Arguments) -> Architecture:
    architecture = Architecture(
        hidden_size=config.integer("hidden_size", least=2),
        intermediate_size=config.integer("intermediate_size", least=1),
        layers=config.integer("layers", least=1),
        heads=config.integer("heads", least=1),
        kv_heads=config.integer("kv_heads", least=1),
        vocab_size=config.integer("vocab_size", least=2),
    )
    if architecture.hidden_size % (2 * architecture.heads):
        config.complain("hidden_size", architecture.hidden_size, f"an even multiple of heads ({architecture.heads})")
    if architecture.heads % architecture.kv_heads:
        config.complain("kv_heads", architecture.kv_heads, f"a divisor of heads ({architecture.heads})")
    return architecture


def _sampling(options: Arguments) -> SamplingOptions:
    return SamplingOptions(
        temperature=options.number("temperature", 1.0, least=0),
        top_k=options.integer("top_k", 50, least=0),
        top_p=options.number("top_p", 0.95, above=0, most=1),
        min_p=options.number("min_p", 0.0, least=0, below=1),
        repetition_penalty=options.number("repetition_penalty", 1.1, above=0),
        presence_penalty=options.number("presence_penalty", 0.0, least=-2, most=2),
        seed=options.integer("seed", 0, least=0, most=MAX_SEED),
    )


def _stopping(arguments: Arguments) -> StoppingRule:
    looks = tuple(_look(each) for each in arguments.items("looks"))
    if any(later.samples <= earlier.samples for earlier, later in pairwise(looks)):
        arguments.complain("looks", [look.samples for look in looks], "samples that grow from look to look")
    limit = arguments.number("limit_seconds", above=0) if looks or arguments.has("limit_seconds") else 0.0
    return StoppingRule(
        min_samples=arguments.integer("min_samples", 1000, least=1),
        max_rounds=arguments.integer("max_rounds", 1_000_000, least=1),
        looks=looks,
        looks_skip=arguments.integer("looks_skip", 0, least=0),
        limit_seconds=limit,
    )


def _look(look: Arguments) -> Look:
    found = Look(
        samples=look.integer("samples", least=1),
        accept_at_most=look.integer("accept_at_most", -1, least=-1),
        reject_at_least=look.integer("reject_at_least", MAX_SEED, least=0),
    )
    if found.reject_at_least <= found.accept_at_most:
        look.complain("reject_at_least", found.reject_at_least, f"more than accept_at_most ({found.accept_at_most})")
    return found
