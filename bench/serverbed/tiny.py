"""A Llama decoder too small to say anything, with random weights, and a tokenizer of the words that the client sends.

It is made where it is needed, so that a server of real models can be met without a network and without a licence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from perfrun_kernels.sampling.asking import WORDS

if TYPE_CHECKING:
    from pathlib import Path

SPECIAL = ("<unk>", "<pad>")
POSITIONS = 4096


def save(folder: Path, *, hidden_size: int = 64, layers: int = 2, seed: int = 0) -> None:
    """Write a decoder and its tokenizer into ``folder``; one word is one token, and it never ends of itself."""
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=SPECIAL[0], pad_token=SPECIAL[1])
    fast.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=hidden_size, intermediate_size=2 * hidden_size, num_hidden_layers=layers,
            num_attention_heads=4, num_key_value_heads=2, vocab_size=len(vocabulary), max_position_embeddings=POSITIONS,
            bos_token_id=None, eos_token_id=None, pad_token_id=1,
        )
    )  # fmt: skip
    # Special tokens have no text; a stream of them would have no chunks.
    model.generation_config = GenerationConfig(
        do_sample=True, pad_token_id=1, suppress_tokens=list(range(len(SPECIAL))), max_new_tokens=POSITIONS
    )
    model.save_pretrained(folder)
