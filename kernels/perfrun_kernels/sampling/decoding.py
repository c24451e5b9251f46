"""One forward pass at a time over a KV cache that is allocated once.

transformers' own static cache makes attention read all of its capacity at each step, behind a mask. Handing out only
the filled part gives the same numbers, reads what is there, and needs no mask while decoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, StaticLayer

if TYPE_CHECKING:
    from perfrun_kernels.sampling.models import Decoder


class FilledLayer(StaticLayer):  # type: ignore[no-untyped-call]  # its metaclass hook has no annotation
    """Keys and values of one layer: allocated for the capacity, handed out as far as they are filled."""

    is_compileable = False

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.filled = 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Append states and return all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self.keys, self.values
        if keys is None or values is None:
            msg = "transformers' static layer allocated nothing; use the locked version of transformers"
            raise RuntimeError(msg)
        end = self.filled + key_states.shape[-2]
        keys[:, :, self.filled : end] = key_states
        values[:, :, self.filled : end] = value_states
        self.filled = end
        return keys[:, :, :end], values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the length of keys that attention will see, and their offset."""
        return self.filled + query_length, 0

    def get_seq_length(self) -> int:
        """Return the tokens held."""
        return self.filled


class Forward:
    """Runs a decoder over one batch; the cache's memory is kept from round to round."""

    def __init__(self, decoder: Decoder, capacity: int) -> None:
        self._model = decoder.model
        self._layers = [FilledLayer(capacity) for _ in range(decoder.config.num_hidden_layers)]
        self._cache = Cache(layers=[*self._layers])
        self._positions = torch.arange(capacity, device=decoder.device).unsqueeze(0)
        self._filled = 0

    def prefill(self, prompt: torch.Tensor) -> torch.Tensor:
        """Forget what came before, read ``prompt`` [batch, length], and return the logits of its last position."""
        self._filled = 0
        for layer in self._layers:
            layer.filled = 0
        return self._pass(prompt)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append one token of each sequence, ``tokens`` [batch], and return the next logits [batch, vocabulary]."""
        return self._pass(tokens.unsqueeze(1))

    def _pass(self, tokens: torch.Tensor) -> torch.Tensor:
        end = self._filled + tokens.shape[1]
        output = self._model(
            input_ids=tokens, position_ids=self._positions[:, self._filled : end], cache=self._cache,
            use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        self._filled = end
        logits: torch.Tensor = output.logits[:, -1]
        return logits
