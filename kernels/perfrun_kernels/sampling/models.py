"""The decoders that the built-in engine can run, and how each is named beyond doubt.

Sizes are per device: what is small for a GPU would not move on a CPU. A verdict therefore always shows the parameter
count, and a digest tells two models of one size apart.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import pynvml
import torch
from safetensors import SafetensorError
from transformers import LlamaConfig, LlamaForCausalLM

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.gpu.nvml import shown
from perfrun_kernels.sampling.parameters import Architecture
from perfrun_kernels.weights import digest_of, unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfrun_kernels.sampling.parameters import BuiltinParameters

SIZES: Final[Mapping[str, Mapping[str, Architecture]]] = MappingProxyType(
    {
        "cpu": MappingProxyType(
            {
                "small": Architecture(192, 512, 4, 6, 2, 4096),
                "medium": Architecture(256, 688, 6, 8, 2, 8192),
                "large": Architecture(384, 1024, 8, 12, 4, 8192),
            }
        ),
        "cuda": MappingProxyType(
            {
                "small": Architecture(768, 2048, 12, 12, 12, 32000),
                "medium": Architecture(2048, 5632, 22, 32, 4, 32000),
                "large": Architecture(4096, 11008, 32, 32, 32, 32000),
            }
        ),
    }
)
"""Default architectures: 3.1, 8.4 and 18.9 million parameters on a CPU; 0.13, 1.1 and 6.7 billion on a GPU."""

DTYPES: Final[Mapping[str, torch.dtype]] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
)


@attrs.frozen
class Decoder:
    """A model ready to run, with what a verdict must say of it."""

    model: torch.nn.Module
    config: LlamaConfig
    device: torch.device
    dtype: str
    digest: str
    seeded: bool

    @property
    def parameters(self) -> int:
        """Return the number of weights, shared ones counted once."""
        return sum(each.numel() for each in self.model.parameters())

    @property
    def vocabulary(self) -> int:
        """Return the number of tokens."""
        return self.config.vocab_size


def choose_device(wanted: str) -> torch.device:
    """Return the device to run on; ``auto`` takes a GPU where there is one.

    Raises:
        UnmeasurableError: a GPU was demanded and there is none, or there is one that torch cannot use.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    # Whoever took an image without CUDA, or hid the GPUs from it, wanted none.
    meant = torch.version.cuda is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if not meant and (shows := shown(pynvml)):
        raise UnmeasurableError(
            "GPUUnusable",
            f"there is {shows}, but torch {torch.__version__} finds no usable CUDA device here: use a driver for "
            f"CUDA {torch.version.cuda} or newer, or set device to cpu",
        )
    if wanted == "auto":
        return torch.device("cpu")
    raise UnmeasurableError(
        "NoGPU",
        "parameters.device is cuda, but torch finds no usable CUDA device here: "
        "run on a node with a GPU, or set device to auto",
    )


def choose_dtype(wanted: str, device: torch.device) -> str:
    """Return the number format; ``auto`` is float32 on a CPU, else bfloat16 where the GPU has it, else float16."""
    if wanted != "auto":
        return wanted
    if device.type == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def load(parameters: BuiltinParameters, device: torch.device) -> Decoder:
    """Build or read the model that the request names.

    Raises:
        UnmeasurableError: the path holds no usable model.
    """
    dtype = choose_dtype(parameters.dtype, device)
    capacity = parameters.sequence_length + parameters.num_tokens
    if parameters.path is not None:
        return _read(Path(parameters.path), device, dtype, capacity)
    return build(
        parameters.architecture or SIZES[device.type][parameters.size], device, dtype, capacity, parameters.model_seed
    )


def build(architecture: Architecture, device: torch.device, dtype: str, capacity: int, seed: int) -> Decoder:
    """Return a decoder of ``architecture`` with weights drawn from ``seed``, good for ``capacity`` tokens a sequence.

    The same seed gives the same weights on one kind of device; a GPU draws others than a CPU.
    """
    config = LlamaConfig(
        hidden_size=architecture.hidden_size, intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.layers, num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads, vocab_size=architecture.vocab_size,
        max_position_embeddings=capacity,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.manual_seed(seed)
    torch.set_default_dtype(DTYPES[dtype])
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    named = {"architecture": attrs.asdict(architecture), "seed": seed, "dtype": dtype, "device": device.type}
    digest = "sha256:" + hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
    return _decoder(model, device, dtype, digest, seeded=True)


def _read(path: Path, device: torch.device, dtype: str, capacity: int) -> Decoder:
    config = _config(path)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise unusable(f"parameters.model.path is {path}, which holds no *.safetensors file: put the weights there")
    longest = config.get("max_position_embeddings", 0)
    if longest < capacity:
        raise UnmeasurableError(
            "ContextTooShort",
            f"sequence_length + num_tokens is {capacity}, but the model in {path} takes at most {longest} positions: "
            "ask for fewer",
        )
    try:
        read: Any = LlamaForCausalLM.from_pretrained  # its return type depends on output_loading_info
        model, loading = read(
            path, local_files_only=True, use_safetensors=True, dtype=DTYPES[dtype], output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise unusable(f"the model in {path} cannot be loaded: {error}".splitlines()[0]) from error
    if missing := sorted(loading["missing_keys"]):
        raise unusable(f"the weights in {path} lack {len(missing)} tensors, {missing[0]} among them: copy all files")
    return _decoder(model, device, dtype, digest_of([path / "config.json", *weights]), seeded=False)


def _decoder(model: Any, device: torch.device, dtype: str, digest: str, *, seeded: bool) -> Decoder:
    if device.type == "cuda":
        # torch prefers cuDNN's attention on some cards. It makes a plan for each shape, and decoding has another shape
        # at every step: on an H100 that kept the host busy for 3 ms a layer, four fifths of a step.
        torch.backends.cuda.enable_cudnn_sdp(enabled=False)
    module: torch.nn.Module = model.to(device).eval().requires_grad_(requires_grad=False)
    return Decoder(module, model.config, device, dtype, digest, seeded)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unusable(f"parameters.model.path is {path}, without a readable config.json there: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "llama":
        raise unusable(f"{path}/config.json has model_type {kind!r}; expected 'llama', the only architecture built in")
    return dict(config)
