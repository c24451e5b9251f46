"""Keys and values in blocks, and forward passes that read and write them there.

Attention gathers the blocks of each sequence in order, so that the place of a key among them is its position, and a
mask leaves out what comes later. This reads what a kernel for paged attention reads, and copies it once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfrun_kernels.sampling.models import Decoder


@attrs.define
class _Pass:
    """Where one forward pass writes (``slots`` [tokens]) and reads (``tables`` [sequences, blocks])."""

    slots: torch.Tensor
    tables: torch.Tensor


class PagedLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]  # its metaclass hook has no annotation
    """Keys and values of one layer, [blocks, tokens, heads, head size]; zero at first, for masked keys are read too."""

    is_compileable = False

    def __init__(self, blocks: int, tokens: int, decoder: Decoder, now: _Pass) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nor has this
        config = decoder.config
        heads = int(config.num_key_value_heads or config.num_attention_heads)
        size = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        dtype = next(decoder.model.parameters()).dtype
        # Written to at once, so that all of the memory is there before anybody looks.
        self.held_keys = torch.empty((blocks, tokens, heads, size), dtype=dtype, device=decoder.device).zero_()
        self.held_values = torch.empty_like(self.held_keys).zero_()
        self._now = now
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Do nothing: the blocks are there from the beginning."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Write states [sequences, heads, tokens, size] into their slots; return those of all blocks in the tables."""
        return self._pass(self.held_keys, key_states), self._pass(self.held_values, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 -- masks are handed in ready-made
        """Return the length of keys that attention will see, and their offset."""
        return self._now.tables.shape[1] * self.held_keys.shape[1], 0

    def get_seq_length(self) -> int:
        """Return nothing: each sequence has a length of its own."""
        return 0

    def get_max_length(self) -> int:
        """Return how many tokens there is room for."""
        return self.held_keys.shape[0] * self.held_keys.shape[1]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first ``tokens`` tokens of a block into another."""
        for held in (self.held_keys, self.held_values):
            held[target, :tokens] = held[source, :tokens]

    def _pass(self, held: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        new = states.transpose(1, 2).flatten(0, 1)
        held.view(-1, *held.shape[2:]).index_copy_(0, self._now.slots, new)
        return held[self._now.tables].flatten(1, 2).transpose(1, 2)


class PagedForward:
    """Runs a decoder over sequences whose keys and values lie in blocks of ``tokens`` tokens."""

    def __init__(self, decoder: Decoder, blocks: int, tokens: int) -> None:
        self._model = decoder.model
        self._device = decoder.device
        self._tokens = tokens
        empty = torch.empty(0, dtype=torch.long)
        self._now = _Pass(empty, empty.unsqueeze(0))
        self._layers = [PagedLayer(blocks, tokens, decoder, self._now) for _ in range(decoder.config.num_hidden_layers)]
        self._cache = Cache(layers=[*self._layers])

    def run(self, tokens: torch.Tensor, filled: Sequence[int], tables: Sequence[Sequence[int]]) -> torch.Tensor:
        """Append ``tokens`` [sequences, new] to sequences of ``filled`` tokens; return the logits of the last ones.

        A sequence's table names its blocks in order and has room for the new tokens.
        """
        new, longest = tokens.shape[1], max(len(table) for table in tables)
        # What stands in for blocks that a shorter sequence lacks is masked, whichever it is.
        padded = [[*table, *[0] * (longest - len(table))] for table in tables]
        self._now.tables = torch.tensor(padded, device=self._device)
        positions = torch.tensor(filled, device=self._device).unsqueeze(1) + torch.arange(new, device=self._device)
        blocks = self._now.tables.gather(1, positions // self._tokens)
        self._now.slots = (blocks * self._tokens + positions % self._tokens).flatten()
        keys = torch.arange(longest * self._tokens, device=self._device)
        mask = keys <= positions[:, None, :, None]
        output = self._model(
            input_ids=tokens, position_ids=positions, attention_mask=mask, cache=self._cache, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first ``tokens`` tokens of a block into another, in all layers."""
        for layer in self._layers:
            layer.copy(source, target, tokens)
