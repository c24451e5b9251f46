import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun_kernels.sampling.sse import LONGEST_EVENT, Event, Events, MalformedEventError


def chunk(**fields: Any) -> bytes:
    return f"data: {json.dumps(fields, ensure_ascii=False)}\n\n".encode()


WORDS = ["Grüße", "世界", "🙂", ""]
STREAM = (
    b": keep-alive\n\n"
    + b"".join(chunk(choices=[{"delta": {"content": word}}]) for word in WORDS)
    + b'event: message\r\nid: 7\r\ndata: {"choices": [{"text": "x", "finish_reason": "length"}]}\r\n\r\n'
    + chunk(choices=[], usage={"completion_tokens": 9, "prompt_tokens": 4})
    + b"data: [DONE]\n\n"
)  # fmt: skip
EXPECTED = [
    *(Event(text=word) for word in WORDS),
    Event(text="x", finished=True),
    Event(completion_tokens=9, prompt_tokens=4),
    Event(done=True),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_however_the_network_splits_a_stream_its_events_are_the_same(cuts: list[int]) -> None:
    events, edges = Events(), [0, *sorted(cuts), len(STREAM)]
    found = [event for begin, end in pairwise(edges) for event in events.feed(STREAM[begin:end])]
    assert found == EXPECTED
    assert events.rest == b""


@pytest.mark.parametrize("name", ["content", "reasoning_content", "reasoning"])
def test_thinking_aloud_is_generated_text_too(name: str) -> None:
    assert list(Events().feed(chunk(choices=[{"delta": {name: "hm"}}]))) == [Event(text="hm")]


def test_an_error_inside_the_stream_is_told() -> None:
    (event,) = Events().feed(chunk(error={"message": "engine died"}))
    assert "engine died" in event.error


@pytest.mark.parametrize(
    "block",
    [
        b"data: {broken\n\n", b"data: [1, 2]\n\n", b"data: 3\n\n", b"data: null\n\n", b"<html>oops</html>\n\n",
        b'data: {"choices": [3]}\n\n', b'data: {"choices": {"a": 1}}\n\n',
        b'data: {"choices": [{"text": 5}]}\n\n', b'data: {"usage": {"completion_tokens": "many"}}\n\n',
        b'data: {"choices": [{"delta": "x"}]}\n\n', b"data: \xff\xfe\n\n",
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_shown(block: bytes) -> None:
    with pytest.raises(MalformedEventError, match="found"):
        list(Events().feed(block))


def test_an_event_without_an_end_is_refused() -> None:
    events = Events()
    assert list(events.feed(b"data: " + b"x")) == []
    with pytest.raises(MalformedEventError, match="longer than"):
        list(events.feed(b"x" * LONGEST_EVENT))
