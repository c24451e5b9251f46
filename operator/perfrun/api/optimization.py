"""How low precision is compared with full precision, and how memory is watched while a pipeline is active."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from perfrun.api.base import Model
from perfrun.api.durations import Duration
from perfrun.api.sizes import Size


class LowPrecision(Model):
    """What is converted, and on what its accuracy is measured."""

    path: str | None = Field(
        default=None, min_length=1, max_length=4096,
        description="Directory inside the pod with a transformer's config.json, safetensors weights and tokenizer; "
        "left out, the small pretrained encoder that comes with perfrun.",
    )  # fmt: skip
    dataset: str | None = Field(
        default=None, min_length=1, max_length=4096,
        description="File inside the pod with one JSON object a line, {text, label}; left out, the labelled sentences "
        "that come with perfrun.",
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where both run; auto takes a GPU where there is one."
    )
    batch_size: int = Field(default=32, ge=1, le=4096, description="Items of one forward pass.")
    sequence_length: int = Field(default=128, ge=8, le=8192, description="Tokens of an item at most.")
    items: int = Field(default=4000, ge=100, le=1_000_000, description="Labelled items at most.")
    seed: int = Field(default=0, ge=0, description="Seed of the choice of items and of the turns.")
    budget: Duration = Field(default="3m", description="Longest measuring time.")


class Memory(Model):
    """The pipeline whose memory is watched, and for how long."""

    model: str = Field(default="small", min_length=1, max_length=63, description="Size of llm.models that it runs.")
    batches: int = Field(default=4, ge=1, le=256, description="Batches at work at the same time.")
    batch_size: int = Field(default=4, ge=1, le=1024, description="Sequences of a batch.")
    prefix_tokens: int = Field(default=512, ge=0, le=131_072, description="Tokens that prompts share.")
    unique_tokens: int = Field(default=16, ge=1, le=131_072, description="Tokens that a prompt has to itself.")
    num_tokens: int = Field(default=32, ge=1, le=131_072, description="Tokens generated for each prompt.")
    prefixes: int = Field(default=4, ge=1, le=10_000, description="Different shared prefixes in turn.")
    block_tokens: int = Field(default=16, ge=1, le=1024, description="Tokens of one block of the paged cache.")
    blocks: int = Field(default=2048, ge=16, le=10_000_000, description="Blocks of the paged cache.")
    soak: Duration = Field(
        default="2m",
        description="How long it is watched. Shorter than the time that the feature states, a leak is only projected.",
    )
    leak_budget: Size = Field(default="64Mi", description="Growth over the stated time that still counts as none.")
