"""A pretrained transformer that turns texts into vectors, read with nothing executed that comes with it.

Every transformer has hidden states, encoders and decoders alike: their mean over a text's tokens is its vector.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch
from safetensors import SafetensorError
from torch.overrides import TorchFunctionMode
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.precision import pretrained
from perfrun_kernels.precision.dataset import NOT_STATED
from perfrun_kernels.weights import digest_of, unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DTYPES: Final[Mapping[str, torch.dtype]] = MappingProxyType({"FP16": torch.float16, "BF16": torch.bfloat16})

_UNUSED: Final = "pooler."
"""Weights that no hidden state depends on, which some checkpoints therefore lack."""


@attrs.frozen
class Encoder:
    """A model on the CPU with its tokenizer, what it is called, its licence, and a digest of its files."""

    model: torch.nn.Module
    tokenizer: Any
    name: str
    licence: str
    digest: str

    @property
    def parameters(self) -> int:
        """Return the number of weights, shared ones counted once."""
        return sum(each.numel() for each in self.model.parameters())

    @property
    def vocabulary(self) -> int:
        """Return the number of tokens that the model knows."""
        config: Any = self.model.config
        return int(config.vocab_size)


def load(path: str | None, sequence_length: int) -> Encoder:
    """Read the model of directory ``path`` in the precision in which it is stored, or the one that comes with perfrun.

    Raises:
        UnmeasurableError: there is no usable model, or it takes fewer tokens than ``sequence_length``.
    """
    if path is not None:
        return _read(Path(path), path, NOT_STATED, sequence_length)
    with tempfile.TemporaryDirectory(prefix="perfrun-model-") as folder:
        pretrained.unpack_model(Path(folder))
        return _read(Path(folder), pretrained.MODEL, pretrained.MODEL_LICENCE, sequence_length)


def converted(model: torch.nn.Module, precision: str) -> torch.nn.Module:
    """Return a copy of ``model`` with all its weights in ``precision``, rounded to the nearest number there is."""
    return copy.deepcopy(model).to(DTYPES[precision])


def weight_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of all weights as they would be stored, shared ones counted once."""
    return sum({each.data_ptr(): each.nbytes for each in model.state_dict().values()}.values())


def overflowed(model: torch.nn.Module) -> int:
    """Return how many weights are infinite or no number."""
    return sum(int((~torch.isfinite(each)).sum()) for each in model.parameters())


def tokens(encoder: Encoder, texts: Sequence[str], length: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Return what the model takes for ``texts``: ids and mask, [texts, tokens], at most ``length`` tokens each."""
    taken = encoder.tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt")
    return {name: taken[name].to(device) for name in ("input_ids", "attention_mask")}


def vectors(model: torch.nn.Module, taken: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the vector of each text, float64 of length 1, [texts, width], on the CPU."""
    with torch.inference_mode(), Float32Sums():
        hidden = model(**taken).last_hidden_state.double()
    mask = taken["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(mean, dim=-1).cpu()


class Float32Sums(TorchFunctionMode):
    """Has a CPU add up the products of float16 as a GPU does: in float32, rounded once at the end.

    Processors without float16 arithmetic do the same a number at a time, which takes ten times as long.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Widen what a linear layer takes; leave everything else alone."""
        del types
        if func is torch.nn.functional.linear and args[0].device.type == "cpu" and args[0].dtype == torch.float16:
            return func(*(each if each is None else each.float() for each in args)).half()
        return func(*args, **(kwargs or {}))


def _read(path: Path, name: str, licence: str, sequence_length: int) -> Encoder:
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise unusable(f"parameters.path is {name}, which holds no *.safetensors file: put the weights there")
    read: Any = AutoModel.from_pretrained
    take: Any = AutoTokenizer.from_pretrained
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, loading = read(
            path, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="auto",
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
        tokenizer = take(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise unusable(f"the model in {name} cannot be loaded: {_first_line(error)}") from error
    if others := loading["mismatched_keys"]:
        raise unusable(f"{len(others)} tensors in {name} have other shapes than its config.json says: copy all files")
    if missing := sorted(each for each in loading["missing_keys"] if not each.startswith(_UNUSED)):
        raise unusable(f"the weights in {name} lack {len(missing)} tensors, {missing[0]} among them: copy all files")
    if model.config.is_encoder_decoder:
        raise unusable(f"the model in {name} is an encoder with a decoder; expected one of the two")
    if count := overflowed(model):
        raise unusable(f"{count} of the weights in {name} are no finite numbers: check where they come from")
    longest = getattr(model.config, "max_position_embeddings", sequence_length)
    if longest < sequence_length:
        raise UnmeasurableError(
            "ContextTooShort",
            f"sequence_length is {sequence_length}, but the model in {name} takes at most {longest} tokens: "
            "ask for fewer",
        )
    # Nothing is generated: a decoder that kept its keys and values would be slower for nothing.
    model.config.use_cache = False
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    digest = digest_of([path / "config.json", *weights])
    return Encoder(model.eval().requires_grad_(requires_grad=False), tokenizer, name, licence, digest)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
