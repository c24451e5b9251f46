"""Which capabilities there are, and what a third party's failure costs: only itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

from perfrun.api.target import Metric, TargetSpec
from perfrun.capabilities.registry import GROUP, capabilities, capability, load, vocabularies
from perfrun.capabilities.sampling import Sampling
from perfrun.language.vocabulary import Vocabulary


class Extra(Sampling):
    name = "extra"


INSTANCE = Extra()
NOTHING = object()


def broken() -> None:
    msg = "no licence"
    raise RuntimeError(msg)


def point(name: str, attribute: str) -> EntryPoint:
    return EntryPoint(name=name, value=f"{__name__}:{attribute}", group=GROUP)


def test_every_capability_has_words_under_its_own_name() -> None:
    found = {each.name: each.vocabulary(None) for each in capabilities()}
    assert all(isinstance(words, Vocabulary) and words.capability == name for name, words in found.items())
    assert set(found) == {
        "sampling", "custom", "load", "faults", "network", "spikes", "telemetry", "forecast", "optimization", "memory",
    }  # fmt: skip


def test_named_metrics_of_the_target_are_words() -> None:
    target = TargetSpec(metrics=(Metric(name="error ratio", query="up", unit="%"),))
    subjects = {subject.key for words in vocabularies(target) for subject in words.subjects}
    assert "error ratio" in subjects
    assert "error ratio" not in {subject.key for words in vocabularies(None) for subject in words.subjects}


def test_unknown_names_are_none() -> None:
    assert capability("elsewhere") is None
    assert capability("sampling") is not None


def test_entry_points_may_name_a_class_or_an_instance() -> None:
    for attribute in ("Extra", "INSTANCE"):
        registry = load((point("extra", attribute),))
        assert registry.failures == ()
        assert registry.capabilities[-1].name == "extra"


def test_an_entry_point_that_does_not_load_is_a_sentence_and_costs_nobody_else() -> None:
    registry = load(
        (
            point("a", "missing"), point("b", "broken"), point("c", "NOTHING"), point("d", "Sampling"),
            point("extra", "Extra"),
        )
    )  # fmt: skip
    assert [each.name for each in registry.capabilities][-1] == "extra"
    for said in ("AttributeError", "no licence", "it is no capability, for it has no name", "already a capability"):
        assert sum(said in failure for failure in registry.failures) == 1
    assert all("was left out" in failure for failure in registry.failures)


def test_planning_and_judging_load_no_numerical_library() -> None:
    code = (
        "import sys, perfrun.planning.compile, perfrun.judging.scenario\n"
        "print([name for name in ('numpy', 'scipy', 'pandas', 'torch', 'pint') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
