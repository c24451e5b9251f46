import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from transformers.cache_utils import StaticCache

from perfrun_kernels.contract import Scalar
from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError
from perfrun_kernels.sampling import engine, models
from perfrun_kernels.sampling.decoding import Forward
from perfrun_kernels.sampling.models import Decoder
from perfrun_kernels.sampling.parameters import Architecture, BuiltinParameters, Look, StoppingRule
from perfrun_kernels.sampling.samples import Samples
from perfrun_kernels.sampling.stopping import Watch
from perfrun_kernels.sampling.timing import CpuTimer

CPU = torch.device("cpu")


def quiet(_: str) -> None:
    """Swallow progress."""


@pytest.fixture
def decoder(tiny: Architecture) -> Decoder:
    return models.build(tiny, CPU, "float32", capacity=32, seed=1)


def never(rule: StoppingRule) -> Watch:
    return Watch(attrs.evolve(rule, min_samples=10**9), 1.0, lambda: 0.0)


def test_the_cache_gives_the_logits_of_the_model_without_one_round_after_round(decoder: Decoder) -> None:
    forward = Forward(decoder, 12)
    for seed in (1, 2):
        tokens = torch.randint(40, (3, 12), generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            whole: torch.Tensor = decoder.model(input_ids=tokens, use_cache=False).logits
            found = [forward.prefill(tokens[:, :5])] + [forward.step(tokens[:, index]) for index in range(5, 12)]
        for index, logits in enumerate(found, 4):
            torch.testing.assert_close(logits, whole[:, index])


def test_the_cache_agrees_with_the_static_one_of_transformers(decoder: Decoder) -> None:
    forward, cache = Forward(decoder, 12), StaticCache(config=decoder.config, max_cache_len=12)
    tokens = torch.randint(40, (2, 8), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        decoder.model(input_ids=tokens[:, :7], cache=cache, use_cache=True)
        bare = decoder.model(input_ids=tokens[:, 7:], cache=cache, use_cache=True).logits[:, -1]
        forward.prefill(tokens[:, :7])
        torch.testing.assert_close(forward.step(tokens[:, 7]), bare)


def test_the_cache_is_allocated_once(decoder: Decoder) -> None:
    forward, places = Forward(decoder, 12), set()
    with torch.inference_mode():
        for _ in range(3):
            forward.prefill(torch.zeros(2, 4, dtype=torch.int64))
            forward.step(torch.zeros(2, dtype=torch.int64))
            places.add(tuple(layer.keys.data_ptr() for layer in forward._layers if layer.keys is not None))
    assert len(places) == 1


def test_a_round_times_each_step_and_the_round_itself(decoder: Decoder, builtin: BuiltinParameters) -> None:
    samples = Samples()
    generator = engine.Generator(decoder, builtin, CpuTimer())
    with torch.inference_mode():
        for number in range(2):
            assert not generator.round(number, samples, never(builtin.stopping))
    steps = builtin.num_tokens
    assert (len(samples.step), samples.starts, samples.rounds) == (2 * steps, [0, steps], 2)
    assert samples.tokens == 2 * steps * builtin.batch_size
    for number, (ttft, tpot, e2e) in enumerate(zip(samples.ttft, samples.tpot, samples.e2e, strict=True)):
        assert tpot == pytest.approx((e2e - ttft) / steps)
        assert e2e >= ttft + sum(samples.step[number * steps : (number + 1) * steps])
    assert 0 <= samples.overhead_seconds < samples.decode_seconds


def test_prompts_and_tokens_repeat_with_the_seed_and_change_with_the_round(
    decoder: Decoder, builtin: BuiltinParameters
) -> None:
    generator = engine.Generator(decoder, builtin, CpuTimer())
    assert torch.equal(generator.prompt(0), engine.Generator(decoder, builtin, CpuTimer()).prompt(0))
    assert not torch.equal(generator.prompt(0), generator.prompt(1))
    assert generator.prompt(0).shape == (builtin.batch_size, builtin.sequence_length)


def test_a_round_that_is_cut_short_gives_steps_but_no_round_figures(
    decoder: Decoder, builtin: BuiltinParameters
) -> None:
    samples, ticks = Samples(), iter(range(100))
    watch = Watch(builtin.stopping, 2.0, lambda: float(next(ticks)))
    with torch.inference_mode():
        assert engine.Generator(decoder, builtin, CpuTimer()).round(0, samples, watch)
    assert (len(samples.step), samples.ttft, samples.rounds, watch.reason) == (3, [], 0, "budget")
    assert "ttft_seconds" not in samples.series()


def test_logits_that_are_not_finite_are_no_measurement(decoder: Decoder, builtin: BuiltinParameters) -> None:
    for weight in decoder.model.parameters():
        weight.fill_(float("nan"))
    with pytest.raises(BrokenMeasurementError, match="logits are not finite in round 1"), torch.inference_mode():
        engine.Generator(decoder, builtin, CpuTimer()).round(0, Samples(), never(builtin.stopping))


def test_a_measurement_states_what_was_measured_and_on_what(builtin: BuiltinParameters) -> None:
    lines: list[str] = []
    measured = engine.measure(builtin, 60.0, lines.append)
    steps = builtin.num_tokens
    assert {name: len(each.values) for name, each in measured.series.items()} == {
        "step_seconds": 2 * steps, "ttft_seconds": 2, "tpot_seconds": 2, "e2e_seconds": 2,
        "round_tokens_per_second": 2,
    }  # fmt: skip
    assert measured.series["step_seconds"].starts == [0, steps]
    facts = measured.facts
    assert (facts["device"], facts["dtype"], facts["rounds"], facts["stop_reason"]) == ("cpu", "float32", 2, "samples")
    assert facts["parameters"] == sum(each.numel() for each in models.load(builtin, CPU).model.parameters())
    assert str(facts["model_digest"]).startswith("sha256:")
    assert measured.started <= measured.finished
    assert any("round 2" in line for line in lines)
    for name in ("gpu_memory_peak", "torch_memory_peak"):
        assert measured.scalars[name].value is None
        assert measured.scalars[name].reason.startswith("no GPU: ")
    throughput, overhead, memory = (
        measured.scalars[name].value for name in ("throughput", "harness_overhead_per_step", "host_memory_peak")
    )
    assert throughput is not None
    assert overhead is not None
    assert memory is not None
    rates = measured.series["round_tokens_per_second"].values
    assert min(rates) <= throughput <= max(rates)
    assert memory > 10_000_000


def test_a_look_ends_a_measurement(builtin: BuiltinParameters) -> None:
    rule = StoppingRule(min_samples=10**6, max_rounds=10**6, looks=(Look(12, 12, 13),), looks_skip=0, limit_seconds=1e9)
    measured = engine.measure(attrs.evolve(builtin, stopping=rule), 60.0, quiet)
    assert (len(measured.series["step_seconds"].values), measured.facts["stop_reason"]) == (12, "look-accepted")
    assert measured.facts["rounds"] == 2


def test_the_digest_tells_models_apart(tiny: Architecture) -> None:
    first = models.build(tiny, CPU, "float32", 16, seed=1)
    same = models.build(tiny, CPU, "float32", 16, seed=1)
    assert first.digest == same.digest
    for one, other in zip(first.model.parameters(), same.model.parameters(), strict=True):
        assert torch.equal(one, other)
    wider = attrs.evolve(tiny, intermediate_size=48)
    others = [
        models.build(tiny, CPU, "float32", 16, seed=2),
        models.build(wider, CPU, "float32", 16, seed=1),
        models.build(tiny, CPU, "bfloat16", 16, seed=1),
    ]
    assert len({first.digest, *(each.digest for each in others)}) == 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_each_number_format_decodes(builtin: BuiltinParameters, dtype: str) -> None:
    measured = engine.measure(attrs.evolve(builtin, dtype=dtype), 60.0, quiet)
    assert measured.facts["dtype"] == dtype
    assert torch.get_default_dtype() == torch.float32


def test_default_sizes_for_a_cpu_grow_and_stay_in_the_millions() -> None:
    counts = []
    for size in ("small", "medium", "large"):
        with torch.device("meta"):
            counts.append(models.build(models.SIZES["cpu"][size], torch.device("meta"), "float32", 8, 0).parameters)
    assert counts == sorted(counts)
    assert 2_000_000 < counts[0] < 4_000_000
    assert 15_000_000 < counts[2] < 25_000_000


@pytest.mark.parametrize(("size", "billions"), [("small", 0.1), ("medium", 1.0), ("large", 7.0)])
def test_default_sizes_for_a_gpu_are_what_they_are_called(size: str, billions: float) -> None:
    decoder = models.build(models.SIZES["cuda"][size], torch.device("meta"), "bfloat16", 8, 0)
    assert decoder.parameters == pytest.approx(billions * 1e9, rel=0.4)


def saved(decoder: Decoder, path: Path) -> Path:
    model: Any = decoder.model
    model.save_pretrained(path, safe_serialization=True)
    return path


def test_real_weights_come_from_a_local_path(decoder: Decoder, builtin: BuiltinParameters, tmp_path: Path) -> None:
    parameters = attrs.evolve(builtin, path=str(saved(decoder, tmp_path)))
    loaded = models.load(parameters, CPU)
    for name, weight in decoder.model.state_dict().items():
        assert torch.equal(weight, loaded.model.state_dict()[name])
    measured = engine.measure(parameters, 60.0, quiet)
    assert measured.facts["model_weights"] == str(tmp_path)
    assert measured.facts["model_digest"] == loaded.digest


def test_the_digest_of_real_weights_covers_their_bytes(
    decoder: Decoder, builtin: BuiltinParameters, tmp_path: Path
) -> None:
    parameters = attrs.evolve(builtin, path=str(saved(decoder, tmp_path)))
    before = models.load(parameters, CPU).digest
    file = tmp_path / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert models.load(parameters, CPU).digest != before


def remove_weights(path: Path) -> None:
    (path / "model.safetensors").unlink()


def break_weights(path: Path) -> None:
    (path / "model.safetensors").write_bytes(b"nonsense")


def drop_tensors(path: Path) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415 -- one case needs it

    tensors = load_file(path / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


def change_config(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("damage", "reason", "sentence"),
    [
        (remove_weights, "ModelUnusable", "holds no [*].safetensors file"),
        (break_weights, "ModelUnusable", "cannot be loaded"),
        (drop_tensors, "ModelUnusable", "lack 1 tensors, model.layers.1.mlp.up_proj.weight among them"),
        (lambda path: (path / "config.json").unlink(), "ModelUnusable", "without a readable config.json"),
        (lambda path: change_config(path, model_type="gpt2"), "ModelUnusable", "has model_type 'gpt2'"),
        (lambda path: change_config(path, max_position_embeddings=10), "ContextTooShort", "at most 10 positions"),
    ],
)
def test_unusable_weights_are_named_as_such(
    decoder: Decoder, builtin: BuiltinParameters, tmp_path: Path, damage: Any, reason: str, sentence: str
) -> None:
    damage(saved(decoder, tmp_path))
    with pytest.raises(UnmeasurableError, match=sentence) as caught:
        models.load(attrs.evolve(builtin, path=str(tmp_path)), CPU)
    assert caught.value.reason == reason


@pytest.mark.parametrize(("wanted", "there", "expected"), [("auto", False, "cpu"), ("cpu", True, "cpu")])
def test_auto_takes_what_is_there(wanted: str, there: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert models.choose_device(wanted).type == expected


def test_a_gpu_that_is_demanded_but_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnmeasurableError, match="no usable CUDA device") as caught:
        models.choose_device("cuda")
    assert caught.value.reason == "NoGPU"


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_a_gpu_that_torch_cannot_use_is_not_taken_for_none(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(models, "shown", lambda _: "1 GPU with driver 470.1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(UnmeasurableError, match=r"there is 1 GPU with driver 470\.1, but torch") as caught:
        models.choose_device(wanted)
    assert caught.value.reason == "GPUUnusable"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert models.choose_device("auto").type == "cpu"


def test_without_a_step_there_is_no_throughput() -> None:
    samples = Samples()
    assert samples.series() == {}
    assert samples.throughput() == Scalar("1/s", None, "no decoding step was finished, so there is no throughput")
    assert samples.overhead().value is None
