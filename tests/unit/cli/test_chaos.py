"""``perfrun chaos`` as a person meets it: what is listed, what is said at each step, and how it ends."""

from __future__ import annotations

import contextlib
import datetime as dt
import json

import attrs
import pytest

from perfrun.adapters.api import NotFound
from perfrun.adapters.drive import World
from perfrun.cli import allclear, chaos
from perfrun.cli.access import Access
from perfrun.cli.allclear import Agents, Wanted, agent_settings
from perfrun.cli.leftovers import GONE, Leftover, Trace
from perfrun.cli.looking import Look
from perfrun.cli.nowhere import NoArtifacts, NoMetrics
from perfrun.cli.operators import Operator
from perfrun.manifests import labels
from perfrun.ports import Unavailable

START = dt.datetime(2026, 11, 25, 3, 0, tzinfo=dt.UTC)


def row(run="shop/r", uid="u1", state="Injected", **more):
    known = {
        "fault": "s1-fault", "kind": "isolate", "backend": "native", "nodes": ("a", "b"), "since": START,
        "until": START + dt.timedelta(minutes=1), "remains": ("a, b not proven clean",),
    }  # fmt: skip
    return Leftover(run=run, uid=uid, state=state, **(known | more))


ORPHAN = row("shop/gone", "u2", GONE, until=None, remains=("pod x: agent is Running",))


@attrs.define
class Server:
    """A cluster by what each look at it finds; runs are there by name, with their phase."""

    looks: list
    runs: dict = attrs.field(factory=dict)
    cancelled: list = attrs.field(factory=list)

    async def look(self, _api):
        found, self.looks = self.looks[0], self.looks[1:] or self.looks
        if isinstance(found, Exception):
            raise found
        return found

    async def get(self, path, *_more):
        name = path.rpartition("/")[2]
        if name not in self.runs:
            raise NotFound(path)
        return {"spec": {}, "status": {"phase": self.runs[name]}}

    async def merge(self, path, body):
        assert body == {"spec": {"cancel": True}}
        self.cancelled.append(path.rpartition("/")[2])


@pytest.fixture
def server(monkeypatch):
    """Put a server behind the command; runs and leftovers are done as soon as they are turned to."""
    there = Server([Look()])

    @contextlib.asynccontextmanager
    async def connected(*_arguments):
        yield Access(there, "default")

    async def finish(key, _cluster, turn, _clock, _until, tell):
        tell(f"{key.namespace}/{key.name}: {'watched' if turn is allclear.watched else 'driven'}")
        return True

    async def no_operator(*_arguments):
        return ()

    @contextlib.asynccontextmanager
    async def world(_api, clock, _agents, _tell):
        yield World(None, NoMetrics(), NoArtifacts(), clock)

    async def clear(_self, see, mine, _until):
        await see()
        return True

    for module, name, stand_in in (
        (chaos, "connected", connected), (chaos, "look", there.look), (allclear, "look", there.look),
        (allclear, "finish", finish), (allclear, "find", no_operator), (allclear, "at_work", no_operator),
        (allclear, "_world", world), (allclear.Clearing, "clear", clear),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, stand_in)
    return there


def said(answer):
    return [line.partition(" s  ")[2] for line in answer.out.splitlines()]


def test_a_quiet_cluster_is_said_to_be_quiet(cli, server):
    answer = cli("chaos", "list")
    assert (answer.code, answer.out) == (0, "no fault is under way, and nothing is left of any\n")


def test_every_leftover_is_a_line_that_is_not_cut(cli, server):
    server.looks = [Look((row(), ORPHAN))]
    answer = cli("chaos", "list")
    for word in (
        "RUN",
        "shop/r",
        "s1-fault",
        "isolate",
        "a b",
        "Injected",
        "11-25 03:01:00Z",
        "not proven clean",
        GONE,
    ):
        assert word in answer.out
    assert len(answer.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [((), ["shop/r", "lab/r"]), (("-A",), ["shop/r", "lab/r"]), (("-n", "lab"), ["lab/r"]), (("-n", "x"), [])],
)
def test_a_namespace_narrows_the_list(cli, server, arguments, runs):
    server.looks = [Look((row(), row("lab/r")))]
    answer = cli("chaos", "list", "-o", "json", *arguments)
    assert [each["run"] for each in json.loads(answer.out)["faults"]] == runs


def test_what_tells_no_namespace_is_never_hidden(cli, server):
    server.looks = [Look((row("1d2c", "1d2c", GONE),))]
    assert "1d2c" in cli("chaos", "list", "-n", "lab").out


def test_json_has_all_of_it(cli, server):
    server.looks = [Look((row(),), ("nodes could not be looked at: no",))]
    document = json.loads(cli("chaos", "list", "-o", "json").out)
    assert document["notLookedAt"] == ["nodes could not be looked at: no"]
    assert document["faults"][0]["endsAt"] == "2026-11-25T03:01:00+00:00"
    assert document["faults"][0]["nodes"] == ["a", "b"]


def test_what_could_not_be_looked_at_is_said(cli, server):
    server.looks = [Look((), ("nodes could not be looked at: no",))]
    assert "not looked at: nodes could not be looked at: no" in cli("chaos", "list").err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say what to undo"),
        (("r", "--all"), "say what to undo"),
        (("--all", "--timeout", "soon"), "--timeout: 'soon' is not a duration"),
        (("nothing",), "there is no PerfRun default/nothing"),
    ],
)
def test_undo_says_what_it_needs(cli, server, arguments, sentence):
    answer = cli("chaos", "undo", *arguments)
    assert answer.code == 3
    assert sentence in answer.err


def test_nothing_to_undo_is_good(cli, server):
    answer = cli("chaos", "undo", "--all")
    assert (answer.code, said(answer)) == (0, ["nothing is left to undo"])


def test_a_run_that_is_there_but_broke_nothing_is_good(cli, server):
    server.runs = {"r": "Passed"}
    assert cli("chaos", "undo", "r").code == 0


@pytest.mark.parametrize(
    ("phase", "cancelled"), [("Running", ["r"]), ("Pending", ["r"]), ("Restoring", []), ("Cancelled", [])]
)
def test_only_what_goes_on_is_cancelled(cli, server, phase, cancelled):
    server.looks, server.runs = [Look((row(),)), Look()], {"r": phase}
    answer = cli("chaos", "undo", "shop/r")
    assert (answer.code, server.cancelled) == (0, cancelled)
    assert said(answer)[0] == "found shop/r s1-fault (Injected): a, b not proven clean"
    assert said(answer)[-2:] == ["shop/r: driven", "everything is proven undone"]


@pytest.mark.parametrize(
    ("force", "how"), [((), "shop/r: watched"), (("--force",), "shop/r: driven")], ids=["left to it", "forced"]
)
def test_an_operator_that_works_is_left_to_it(cli, server, monkeypatch, force, how):
    async def one(*_arguments):
        return (Operator("perfrun-system/perfrun"),)

    monkeypatch.setattr(allclear, "at_work", one)
    server.looks, server.runs = [Look((row(),)), Look()], {"r": "Running"}
    answer = cli("chaos", "undo", "--all", *force)
    assert how in said(answer)
    assert ("left to the operator of lease perfrun-system/perfrun" in answer.out) == (not force)


def test_an_operator_of_other_namespaces_is_no_help(cli, server, monkeypatch):
    async def one(*_arguments):
        return (Operator("perfrun-system/perfrun", ("lab",)),)

    monkeypatch.setattr(allclear, "at_work", one)
    server.looks, server.runs = [Look((row(),)), Look()], {"r": "Running"}
    assert "shop/r: driven" in said(cli("chaos", "undo", "--all"))


def test_what_is_still_there_at_the_end_is_a_time_out_with_its_list(cli, server):
    server.looks, server.runs = [Look((row(), ORPHAN))], {"r": "Running"}
    answer = cli("chaos", "undo", "--all", "--timeout", "7s")
    assert answer.code == 124
    assert said(answer)[-3:] == [
        "still there: shop/r s1-fault (Injected): a, b not proven clean",
        "still there: shop/gone s1-fault (RunGone): pod x: agent is Running",
        "not everything is proven undone after 7 s",
    ]


def test_a_server_that_is_away_is_waited_for(cli, server, monkeypatch):
    monkeypatch.setattr(allclear, "_AGAIN", 0.01)
    silent = Unavailable("the API server did not answer")
    server.looks, server.runs = [silent, silent, *[Look((row(),))] * 2, silent, Look()], {"r": "Running"}
    answer = cli("chaos", "undo", "--all")
    assert answer.code == 0
    assert said(answer)[0] == "the API server did not answer"


def test_a_server_that_stays_away_is_a_time_out(cli, server, monkeypatch):
    monkeypatch.setattr(allclear, "_AGAIN", 0.01)
    server.looks = [Unavailable("the API server did not answer")]
    answer = cli("chaos", "undo", "--all", "--timeout", "50ms")
    assert answer.code == 124
    assert "nothing is known to be undone" in answer.err


def test_it_is_not_all_clear_where_not_all_could_be_seen(cli, server):
    server.looks, server.runs = [Look((row(),)), Look((), ("nodes could not be looked at: no",))], {"r": "Running"}
    assert cli("chaos", "undo", "--all").code == 3


@pytest.mark.parametrize(
    ("wanted", "met"),
    [
        (Wanted(), True),
        (Wanted(frozenset({"shop/r"})), True),
        (Wanted(frozenset({"u1"})), True),
        (Wanted(frozenset({"lab/r"})), False),
        (Wanted(namespace="shop"), True),
        (Wanted(namespace="lab"), False),
    ],
)
def test_what_is_meant(wanted, met):
    assert wanted.meets(row()) is met


POD = {
    "metadata": {"name": "x", "namespace": "chaos", "labels": {labels.FAULT_KIND: "isolate"}},
    "spec": {"containers": [{"image": "seen:1", "command": ["agent"]}], "runtimeClassName": "host"},
}
WITH_POD = row(traces=(Trace("u1", "shop/r", "f", "pod chaos/x", "a", "isolate", "native", POD, ""),))
TOLD = Operator("a/b", environment={"PERFRUN_IMAGE": "told:1"})


@pytest.mark.parametrize(
    ("operators", "rows", "flags", "image", "namespace"),
    [
        ((), [], Agents(), "", "perfrun-chaos"),
        ((TOLD,), [WITH_POD], Agents(), "told:1", "perfrun-chaos"),
        ((), [WITH_POD], Agents(), "seen:1", "chaos"),
        ((Operator("a/b"),), [WITH_POD], Agents(), "seen:1", "chaos"),
        ((TOLD,), [WITH_POD], Agents("mine", "flag:1"), "flag:1", "mine"),
    ],
    ids=["nothing", "the operator", "an agent", "an operator elsewhere", "a flag"],
)
def test_how_agents_are_made_is_found_out(operators, rows, flags, image, namespace):
    made = agent_settings(operators, rows, flags)
    assert (made.image, made.namespace) == (image, namespace)


def test_a_command_is_words():
    assert agent_settings((), [], Agents(command="python -m x")).command == ("python", "-m", "x")
