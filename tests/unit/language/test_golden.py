"""What sound features mean, what is wrong with bad ones, and what is generated from the vocabularies."""

from pathlib import Path

import pytest
from golden import BAD, GOOD, ROOT, expectation, refused, understood

from perfrun.capabilities.words import builtin
from perfrun.capabilities.words.document import page
from perfrun.cli.wrap import wrap
from perfrun.language import unit_table, units
from perfrun.language.lexicon import lexicon
from perfrun.language.model import Location, Step
from perfrun.language.rules import RULES


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_sound_feature_means_what_it_says(path: Path) -> None:
    assert understood(path.read_bytes()) == expectation(path).read_text()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_everything_wrong_with_a_feature_is_said_at_its_place(path: Path) -> None:
    said = refused(path.read_bytes(), path.name)
    assert said
    assert said == expectation(path).read_text()


def test_the_six_features_are_among_them() -> None:
    assert len([path for path in GOOD if path.parent == ROOT / "features"]) == 6


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    for path in GOOD:
        windows = b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n")
        assert understood(windows) == understood(path.read_bytes())


def test_the_committed_manifest_is_what_wrap_makes() -> None:
    features = [(path, path.read_bytes()) for path in sorted((ROOT / "features").glob("*.feature"))]
    assert (ROOT / "examples/features-cr.yaml").read_text() == wrap(features, "default")


def test_the_committed_vocabulary_is_what_the_words_say() -> None:
    assert (ROOT / "docs/vocabulary.md").read_text() == page()


def test_the_table_of_units_is_what_pint_says() -> None:
    assert units.table() == Path(unit_table.__file__).read_text()


def test_every_example_of_a_phrase_is_one() -> None:
    words = lexicon(builtin())
    for vocabulary in builtin():
        for phrase in vocabulary.phrases:
            step = Step("*", phrase.role, phrase.example or phrase.expression, Location(1))
            meant = {reading.capability for reading in words.readings(step)}
            assert vocabulary.capability in meant, phrase.expression


def test_every_rule_that_the_golden_files_name_is_explained() -> None:
    named = {
        line.rpartition("[")[2].rstrip("]\n") for path in BAD for line in expectation(path).read_text().splitlines()
    }
    assert named <= set(RULES)
    # These need bytes, tags, manifests or targets, which a golden file cannot have.
    elsewhere = {"bad-manifest", "bad-tag-expression", "nothing-selected", "not-utf-8", "too-large", "long-step"}
    assert set(RULES) - named == elsewhere
