"""The command line as a function: arguments in, exit code and output out."""

from __future__ import annotations

import sys
from collections.abc import Callable

import attrs
import pytest

from perfrun.cli.main import main


@attrs.frozen
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["perfrun", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return run
