"""Whose a series is, whatever its labels call its owner."""

from __future__ import annotations

import pytest

from perfrun_kernels.telemetry.owners import discovered, finder
from perfrun_kernels.telemetry.parameters import Owner

KNOWN = (Owner("node-1", addresses=("10.0.0.1", "fd00::1")), Owner("node-2.example.com"))


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        ({"node": "node-1", "instance": "10.0.0.9:9100"}, "node-1"),
        ({"kubernetes_io_hostname": "node-1"}, "node-1"),
        ({"Hostname": "node-1"}, "node-1"),
        ({"instance": "10.0.0.1:9100"}, "node-1"),
        ({"instance": "node-1:9100"}, "node-1"),
        ({"instance": "[fd00::1]:9100"}, "node-1"),
        ({"node": "exporter-of-something", "instance": "node-1"}, "node-1"),
        ({"node": "node-1.example.com"}, "node-1"),
        ({"node": "node-2.example.com"}, "node-2.example.com"),
        ({"instance": "10.0.0.7:9100"}, None),
        ({}, None),
    ],
)
def test_labels_lead_to_a_node_that_is_known(labels, owner):
    assert finder("node", "", KNOWN).owner(labels) == owner


def test_a_label_that_is_given_is_the_only_one():
    labels = {"node": "node-1", "machine": "node-2.example.com"}
    assert finder("node", "machine", KNOWN).owner(labels) == "node-2.example.com"
    assert finder("node", "rack", KNOWN).owner(labels) is None


def test_where_nobody_is_known_the_first_label_names_the_owner():
    assert finder("node", "", ()).owner({"instance": "10.0.0.7:9100", "job": "node"}) == "10.0.0.7"
    assert finder("pod", "", ()).owner({"node": "node-1", "pod": "web-0"}) == "web-0"


def test_an_address_is_never_shortened_to_its_first_number():
    assert finder("node", "", [Owner("10")]).owner({"instance": "10.0.0.1:9100"}) is None


def test_targets_of_the_series_jobs_should_be_there_up_or_down():
    targets = [
        {"labels": {"job": "node", "instance": "a:9100"}, "health": "up"},
        {"labels": {"job": "node", "instance": "b:9100"}, "health": "down"},
        {"labels": {"job": "other", "instance": "c:80"}, "health": "up"},
    ]
    assert [each.name for each in discovered(targets, ["node"], finder("node", "", ()))] == ["a", "b"]
