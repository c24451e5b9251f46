"""How the actions of one decision are carried out: one that fails does not hold back the others."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import attrs
import pytest

from perfrun.adapters import drive
from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.adapters.drive import World
from perfrun.api.run import RunSpec, RunStatus
from perfrun.lifecycle.values import Action, Hold, Meta, Run, StopAgent, StopLoad, StopPod, Store, Uncordon
from perfrun.ports import Conflict, Unavailable

RUN = Run(Meta("r", "ns", "uid"), RunSpec(feature="x", target_ref="t"), RunStatus())


@attrs.define
class Cluster:
    """Stands in for the cluster: what is to fail fails, everything else is noted as done."""

    failing: dict[Action, Exception]
    done: list[Action] = attrs.field(factory=list)

    async def change(self, run: Run, action: Action) -> None:
        if action in self.failing:
            raise self.failing[action]
        self.done.append(action)

    async def stop_pod(self, run: Run, name: str) -> None:
        self.done.append(StopPod(name))


async def carried_out(failing: dict[Action, Exception], *actions: Action) -> tuple[list[Action], Exception | None]:
    cluster = Cluster(failing)
    world = cast("World", type("Where", (), {"cluster": cluster}))
    try:
        await drive._apply(RUN, actions, world)
    except (Conflict, Unavailable) as error:
        return cluster.done, error
    return cluster.done, None


async def test_actions_are_carried_out_in_order() -> None:
    actions = (Hold(), StopLoad("l"), StopPod("p"))
    assert await carried_out({}, *actions) == (list(actions), None)


@pytest.mark.parametrize("first", [Uncordon("a"), StopAgent("a")])
async def test_a_node_that_does_not_answer_keeps_no_other_from_being_given_back(first: Action) -> None:
    away = Unavailable("away")
    done, error = await carried_out({first: away}, first, Uncordon("b"), StopPod("p"))
    assert done == [Uncordon("b"), StopPod("p")]
    assert error is away


async def test_the_first_of_several_failures_is_told() -> None:
    one, two = Unavailable("one"), Unavailable("two")
    _, error = await carried_out({Uncordon("a"): one, Uncordon("b"): two}, Uncordon("a"), Uncordon("b"))
    assert error is one


@pytest.mark.parametrize("failure", [Unavailable("away"), Conflict("changed")])
async def test_nothing_is_done_for_a_run_that_could_not_be_held(failure: Exception) -> None:
    assert await carried_out({Hold(): failure}, Hold(), Uncordon("b")) == ([], failure)


async def test_evidence_is_stored_as_what_it_is_and_linked_by_its_name(tmp_path: Path) -> None:
    world = cast("World", type("Where", (), {"artifacts": FsspecArtifacts(str(tmp_path))}))
    actions = (Store("report", b"{}"), Store("s1-spike.timeline", b"<svg/>", "image/svg+xml"), StopPod("p"))
    status, events = await drive._stored(RUN, RUN.status, actions, world)
    assert events == ()
    assert {each.name: each.url.rpartition("/")[2] for each in status.artifacts} == {
        "report": "report.json", "s1-spike.timeline": "s1-spike.timeline.svg",
    }  # fmt: skip
    assert (tmp_path / "runs" / "uid" / "s1-spike.timeline.svg").read_bytes() == b"<svg/>"


async def test_nothing_more_is_done_for_a_run_that_changed() -> None:
    changed = Conflict("changed")
    assert await carried_out({StopLoad("l"): changed}, StopLoad("l"), StopPod("p")) == ([], changed)
