"""Models that are read and converted: tiny ones, made here, with what can be wrong with them."""

import json
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.precision import comparing, encoder, turns
from perfrun_kernels.precision.asking import Asker
from perfrun_kernels.precision.dataset import Item
from perfrun_kernels.precision.parameters import parse

PADDED = {"pad_token": "[PAD]"}
CPU = torch.device("cpu")
WORDS = ("[PAD]", "[UNK]", "[EOS]", "good", "bad", "film", "plot")
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 7}


def bert(**changes):
    torch.manual_seed(1)
    return BertModel(BertConfig(**(SIZES | {"max_position_embeddings": 32} | changes)))


def save(model, folder, special=PADDED):
    model.save_pretrained(folder)
    words = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106 -- a word, no secret
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(("precision", "dtype"), [("FP16", torch.float16), ("BF16", torch.bfloat16)])
def test_converting_halves_the_bytes_and_rounds_to_the_nearest(tmp_path, precision, dtype):
    read = encoder.load(save(bert(), tmp_path), 16)
    after = encoder.converted(read.model, precision)
    assert encoder.weight_bytes(read.model) == 4 * read.parameters
    assert encoder.weight_bytes(after) == 2 * read.parameters
    for one, other in zip(read.model.parameters(), after.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one.to(dtype), other)


def test_weights_that_are_stored_in_half_already_do_not_shrink(tmp_path):
    read = encoder.load(save(bert().half(), tmp_path), 16)
    assert encoder.weight_bytes(encoder.converted(read.model, "FP16")) == encoder.weight_bytes(read.model)


def test_a_vector_does_not_depend_on_the_texts_beside_it(tmp_path):
    read = encoder.load(save(bert(), tmp_path), 16)
    alone = encoder.vectors(read.model, encoder.tokens(read, ["good film"], 16, CPU))
    beside = encoder.vectors(read.model, encoder.tokens(read, ["good film", "bad plot bad film bad"], 16, CPU))
    torch.testing.assert_close(alone[0], beside[0], rtol=1e-5, atol=1e-6)
    assert float(alone.norm()) == pytest.approx(1)


def test_a_decoder_serves_as_well_and_its_end_stands_in_for_padding(tmp_path):
    config = LlamaConfig(**SIZES, num_key_value_heads=2, max_position_embeddings=32)
    read = encoder.load(save(LlamaForCausalLM(config), tmp_path, {"eos_token": "[EOS]"}), 16)
    found = encoder.vectors(read.model, encoder.tokens(read, ["good", "bad plot bad film"], 16, CPU))
    assert found.shape == (2, 16)
    assert bool(torch.isfinite(found).all())


def test_products_of_float16_are_added_up_in_float32():
    generator = torch.Generator().manual_seed(2)
    rows, weights = (torch.randn(shape, generator=generator).half() for shape in ((5, 4096), (3, 4096)))
    with encoder.Float32Sums():
        found = torch.nn.functional.linear(rows, weights)
        wide = torch.nn.functional.linear(rows.float(), weights.float())
    exact = rows.double() @ weights.double().T
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.double(), exact, rtol=2**-11, atol=1e-3)
    assert wide.dtype == torch.float32


def test_weights_that_half_cannot_hold_are_counted_and_their_texts_are_wrong(tmp_path):
    model = bert()
    with torch.no_grad():
        model.embeddings.LayerNorm.weight[0] = 1e6
    read = encoder.load(save(model, tmp_path), 16)
    models = {"before": read.model, "after": encoder.converted(read.model, "FP16")}
    assert encoder.overflowed(models["after"]) == 1
    items = [Item("good film", "a"), Item("bad plot", "b")] * 10
    found = Asker(read, parse({"batch_size": 3, "sequence_length": 16}), CPU, lambda: False).compare(
        models, items, items
    )
    assert (found.both, found.only_before, found.only_after, found.neither) == (0, 20, 0, 0)
    assert found.scalars()["accuracy.after"].value == 0


def test_texts_that_time_did_not_suffice_for_are_not_counted(tmp_path):
    read = encoder.load(save(bert(), tmp_path), 16)
    models = {"before": read.model, "after": encoder.converted(read.model, "FP16")}
    items = [Item("good film", "a"), Item("bad plot", "b")] * 8
    answers = iter([False] * 4 + [False] * 2 + [True])
    asker = Asker(read, parse({"batch_size": 4, "sequence_length": 16}), CPU, lambda: next(answers))
    found = asker.compare(models, items, items)
    assert (found.items, found.complete) == (8, False)
    asker = Asker(read, parse({"batch_size": 4, "sequence_length": 16}), CPU, lambda: True)
    nothing = asker.compare(models, items, items)
    assert nothing.scalars()["accuracy.both"].value is None
    assert "budget" in nothing.scalars()["accuracy.both"].reason


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(UnmeasurableError, match=r"holds no \*\.safetensors file") as caught:
        encoder.load(str(tmp_path), 16)
    assert caught.value.reason == "ModelUnusable"


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    model = bert()
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[0, :3] = torch.nan
    with pytest.raises(UnmeasurableError, match=r"3 of the weights in .* are no finite numbers"):
        encoder.load(save(model, tmp_path), 16)


def test_texts_longer_than_the_model_takes_are_refused(tmp_path):
    with pytest.raises(UnmeasurableError, match="takes at most 32 tokens") as caught:
        encoder.load(save(bert(), tmp_path), 33)
    assert caught.value.reason == "ContextTooShort"


@pytest.mark.parametrize(
    ("file", "content", "found"),
    [
        ("model.safetensors", b"no weights", "cannot be loaded"),
        ("config.json", b"{}", "cannot be loaded"),
        ("tokenizer.json", b"{}", "cannot be loaded"),
        ("config.json", b'{"model_type": "bert", "num_hidden_layers": 1}', "tensors in .* have other shapes"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_refused_in_a_sentence(tmp_path, file, content, found):
    path = save(bert(), tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UnmeasurableError, match=found) as caught:
        encoder.load(path, 16)
    assert caught.value.reason == "ModelUnusable"


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    path = save(bert(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    maps = {"AutoModel": "strange.Model", "AutoConfig": "strange.Config"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": maps}))
    (tmp_path / "strange.py").write_text("raise SystemExit('code of a model was run')")
    assert type(encoder.load(path, 16).model) is BertModel


def test_weights_that_are_missing_are_refused_unless_nothing_uses_them(tmp_path):
    path = save(bert(), tmp_path)
    (tmp_path / "config.json").write_text((tmp_path / "config.json").read_text().replace('layers": 1', 'layers": 2'))
    with pytest.raises(UnmeasurableError, match="lack 16 tensors"):
        encoder.load(path, 16)
    torch.manual_seed(1)
    headless = BertModel(BertConfig(**SIZES, max_position_embeddings=32), add_pooling_layer=False)
    assert encoder.load(save(headless, tmp_path / "headless"), 16).parameters > 0


def test_an_encoder_with_a_decoder_is_refused(tmp_path):
    config = T5Config(vocab_size=7, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    with pytest.raises(UnmeasurableError, match="one of the two"):
        encoder.load(save(T5Model(config), tmp_path), 16)


def test_both_models_take_their_turns_on_batches_without_padding(tmp_path, monkeypatch):
    """With the clock of a CPU in place of a GPU's, and a cache of its size."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(L2_cache_size=1024))
    waited = []
    monkeypatch.setattr(torch.cuda, "_sleep", waited.append)
    read = encoder.load(save(bert(), tmp_path), 16)
    seen = {"before": [], "after": []}
    models = {"before": read.model, "after": encoder.converted(read.model, "FP16")}
    for side, model in models.items():
        model.register_forward_pre_hook(
            lambda _, __, given, side=side: seen[side].append(given["input_ids"]), with_kwargs=True
        )
    parameters = parse({"batch_size": 3, "sequence_length": 16, "rounds": 5})
    found = comparing._timed(models, read, parameters, CPU, lambda: False)
    assert [len(found.seconds[side]) for side in turns.SIDES] == [5, 5]
    assert all(seconds > 0 for side in turns.SIDES for seconds in found.seconds[side])
    assert [len(batches) for batches in seen.values()] == [5 + turns.WARM_UP] * 2
    assert {batch.shape for batches in seen.values() for batch in batches} == {(3, 16)}
    assert len(waited) == 2 * (5 + turns.WARM_UP)
    assert comparing._speed(found).value > 0
