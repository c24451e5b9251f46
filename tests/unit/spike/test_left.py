"""What undo finds of spikes on a node, and what it says where it cannot look."""

import json

import pytest

from perfrun_kernels.fault import spikes
from perfrun_kernels.fault.refusal import LeftError


@pytest.fixture
def netwatch(monkeypatch, tmp_path):
    """Put a program in the place of perfrun-netwatch whose `undo` answers so."""
    monkeypatch.setattr(spikes, "JOURNALS", (tmp_path / "journals",))
    program = tmp_path / "netwatch"
    monkeypatch.setenv("PERFRUN_NETWATCH", str(program))

    def answers(text, code=0):
        program.write_text(
            f"#!/bin/sh\n[ \"$*\" = undo ] || exit 9\necho 'not allowed' >&2\necho '{text}'\nexit {code}\n"
        )
        program.chmod(0o755)

    return answers


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "journals").mkdir()
    (tmp_path / "journals" / "f1.json").write_text("{}")


def test_a_clean_node_says_what_was_looked_at(netwatch):
    netwatch(json.dumps({"found": [], "left": [], "busy": []}))
    found, looked = spikes.clean()
    assert found == []
    for thing in ("journals", "queueing disciplines", "tables", "tracefs instances", "cgroups"):
        assert thing in looked


def test_what_is_found_is_told(netwatch):
    thing = {"fault": "f1", "kind": "tbf", "where": "veth12"}
    netwatch(json.dumps({"found": [thing], "left": []}))
    assert spikes.clean()[0] == ["tbf at veth12 of fault f1 was removed"]


def test_what_stays_is_left(netwatch):
    thing = {"fault": "f1", "kind": "freezer", "where": "/kubepods/x", "message": "still frozen"}
    netwatch(json.dumps({"found": [thing], "left": [thing]}), code=3)
    with pytest.raises(LeftError, match=r"freezer at /kubepods/x of fault f1 \(still frozen\)") as raised:
        spikes.clean()
    assert raised.value.reason == "SpikeLeft"


def test_a_node_without_spikes_needs_neither_the_program_nor_its_rights(netwatch):
    assert spikes.clean() == ([], "")
    netwatch("", code=1)
    assert spikes.clean() == ([], "")


def test_journals_that_cannot_be_followed_are_said(netwatch, journal):
    netwatch("", code=1)
    with pytest.raises(
        LeftError, match=r"f1\.json tell of spikes, which could not be undone: netwatch: not allowed"
    ) as raised:
        spikes.clean()
    assert raised.value.reason == "SpikesUnseen"


def test_journals_without_the_program_are_said(netwatch, journal):
    with pytest.raises(LeftError, match="perfrun-netwatch is not there"):
        spikes.clean()
