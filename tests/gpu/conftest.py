"""Without a GPU nothing here begins; with one, features are run as their pods would be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stages import Answer, judged


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse to begin without a GPU: a run that skips all of this would prove nothing and look well."""
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    if mine and not torch.cuda.is_available():
        pytest.exit("tests/gpu is for machines with an NVIDIA GPU that torch can use: there is none here", returncode=1)


@pytest.fixture
def verdicts(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return what runs and judges a feature; what was found is shown, for whoever runs this wants to see it."""

    def run(*arguments: object, **named: object) -> Answer:
        answer = judged(*arguments, **named)  # type: ignore[arg-type]
        with capsys.disabled():
            sys.stdout.write(f"\n{answer}\n")
        return answer

    return run
