"""Files that go with results: kept as what they are, under names that cannot lead anywhere else."""

from __future__ import annotations

import base64

import pytest

from perfrun.lifecycle.attachments import BINARY, PERFETTO, SUFFIXES, attached, media_type_of, suffix_of
from perfrun.lifecycle.values import Store
from perfrun_kernels.contract import Attachment, ContractError, Result


def result(**attachments: Attachment) -> Result:
    return Result(
        run="r", stage="s1-spike", attempt=1, outcome="Completed", started=1.0, finished=2.0, attachments=attachments
    )  # fmt: skip


def file(content: bytes, media_type: str = PERFETTO) -> Attachment:
    return Attachment(media_type, base64.b64encode(content).decode())


def test_every_file_is_kept_under_the_name_of_its_stage_and_its_own():
    found = attached("s1-spike", result(trace=file(b"\x0a\x00"), timeline=file(b"<svg/>", "image/svg+xml")))
    assert found == (
        Store("s1-spike.timeline", b"<svg/>", "image/svg+xml"),
        Store("s1-spike.trace", b"\x0a\x00", PERFETTO),
    )


@pytest.mark.parametrize("name", ["../up", "a/b", "", "A", "a.b", "-a", "a" * 41, "a\n"])
def test_a_name_that_may_lead_elsewhere_is_refused_with_what_was_expected(name):
    with pytest.raises(ContractError, match="expected a name of at most 40 lower-case letters"):
        attached("s1-spike", result(**{name: file(b"x")}))


@pytest.mark.parametrize("data", ["%%%", "YQ", "ümläut", 7])
def test_content_that_is_no_base64_is_refused(data):
    with pytest.raises(ContractError, match="attachment 'trace': expected its content in base64"):
        attached("s1-spike", result(trace=Attachment(PERFETTO, data)))


@pytest.mark.parametrize("media_type", sorted(SUFFIXES))
def test_what_is_stored_as_a_type_is_given_out_as_that_type(media_type):
    assert media_type_of(f"runs/u/s1-spike.trace{suffix_of(media_type)}") == media_type


@pytest.mark.parametrize("media_type", ["text/html", "", "application/javascript"])
def test_any_other_type_is_plain_bytes(media_type):
    assert media_type_of(f"s1-spike.trace{suffix_of(media_type)}") == BINARY
    assert media_type_of("no-suffix") == BINARY
