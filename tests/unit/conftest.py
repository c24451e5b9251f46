"""A real Prometheus for whoever asks one something."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from historybed.server import Server, serving


@pytest.fixture
def prometheus() -> Iterator[Callable[..., Server]]:
    """Start a Prometheus with the series that are given; its options are those of `historybed.server.serving`."""
    with ExitStack() as stack:
        yield lambda *series, **options: stack.enter_context(serving(series, **options))
