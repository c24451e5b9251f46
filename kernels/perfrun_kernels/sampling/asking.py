"""What an OpenAI-compatible server is sent: where to, by whom, and with which words."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from perfrun_kernels.faults import UnmeasurableError

if TYPE_CHECKING:
    from perfrun_kernels.sampling.parameters import OpenAIParameters

WORDS = (
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state",
    "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week", "company", "system",
    "program", "question", "work", "number", "night", "point", "home", "water", "room", "mother", "area",
)  # fmt: skip
"""Common words, which tokenizers keep as one token each."""


def random_words(count: int, seed: int) -> str:
    """Return so many common words, drawn from ``seed``."""
    return " ".join(random.Random(seed).choices(WORDS, k=count))  # noqa: S311 -- no secret


def endpoint(parameters: OpenAIParameters) -> str:
    """Return the URL that takes the requests."""
    return parameters.url + ("/chat/completions" if parameters.api == "chat" else "/completions")


def request_body(parameters: OpenAIParameters, prompt: str, seed: int) -> dict[str, Any]:
    """Return one request to go on with ``prompt``; the server draws from ``seed``."""
    sampling = parameters.sampling
    body: dict[str, Any] = {
        "model": parameters.model_name, "max_tokens": parameters.num_tokens, "stream": True,
        "stream_options": {"include_usage": True}, "temperature": sampling.temperature, "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty, "seed": seed,
    }  # fmt: skip
    if parameters.api == "chat":
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    if parameters.extensions:
        body |= {
            "top_k": sampling.top_k or -1, "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty, "ignore_eos": True,
        }  # fmt: skip
    return body


def headers_of(parameters: OpenAIParameters) -> dict[str, str]:
    """Return what authorises the client.

    Raises:
        UnmeasurableError: the key is missing.
    """
    if parameters.api_key_env is None:
        return {}
    key = os.environ.get(parameters.api_key_env, "")
    if not key:
        raise UnmeasurableError(
            "MissingCredential",
            f"the environment variable {parameters.api_key_env} that api_key_env names is empty or absent: "
            "set apiKeySecret on the target and create that Secret",
        )
    return {"Authorization": f"Bearer {key}"}
