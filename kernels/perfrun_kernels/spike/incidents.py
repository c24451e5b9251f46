"""What was found out about each spike, and when: the lines of the watch put together.

Each answer is given as soon as its evidence is there, and its moment is noted on the same clock as the spike's.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from perfrun_kernels.contract import SPIKE_TRUTH, SpikeStage
from perfrun_kernels.spike import lines
from perfrun_kernels.spike.identify import Identified
from perfrun_kernels.spike.lines import Answer, Events, Facilities, Injection, Line, Ready, Refused, State, Topology
from perfrun_kernels.spike.locate import Located


@attrs.frozen
class Incident:
    """One spike with what is known of it; moments are nanoseconds of CLOCK_MONOTONIC, None where they never came."""

    spike: lines.Spike
    topology: Topology
    events: Events | None = None
    state: State | None = None
    answer: Answer | None = None
    identified: Identified | None = None
    identified_at: int | None = None
    located: Located | None = None
    located_at: int | None = None
    traced_at: int | None = None

    @property
    def answered(self) -> int | None:
        """Return when the kernel had the answer."""
        return None if self.answer is None else self.answer.received

    @property
    def false_alarm(self) -> bool:
        """Return whether the answer had been there in time."""
        return self.answered is not None and self.answered <= self.spike.deadline


@attrs.frozen
class Made:
    """An injection, and when it was undone."""

    injection: Injection
    undone: int | None = None

    @property
    def truth(self) -> SpikeStage:
        """Return the stage in which the injection is to be found."""
        return SPIKE_TRUTH[self.injection.kind]  # type: ignore[index]


Solve = Callable[[Incident, Facilities], Incident]
"""Answers what can be asked of a spike whose evidence is complete; ``solving.Solver``."""


@attrs.define
class Watch:
    """Everything that was said so far; `take` gets the lines in their order."""

    solve: Solve
    facilities: Facilities | None = None
    topology: Topology = attrs.field(factory=lambda: Topology(0, ()))
    ready: Ready | None = None
    made: list[Made] = attrs.field(factory=list)
    refused: list[Refused] = attrs.field(factory=list)
    incidents: dict[int, Incident] = attrs.field(factory=dict)
    lost: list[lines.Lost] = attrs.field(factory=list)
    broken: lines.Broken | None = None
    end: lines.End | None = None
    _missed: int = 0

    def take(self, line: Line) -> None:
        """Note what a line says, and answer whatever it completes the evidence for."""
        match line:
            case lines.Facilities():
                self.facilities = line
            case lines.Topology():
                self.topology = line
            case lines.Ready():
                self.ready = line
            case lines.Injection():
                self.made.append(Made(line))
            case lines.Undo():
                self._undo(line)
            case lines.Refused():
                self.refused.append(line)
            case lines.Spike():
                self.incidents[line.id] = Incident(line, self.topology)
            case lines.Events() | lines.State() | lines.Answer():
                self._evidence(line)
            case _:
                self._course(line)

    def finish(self) -> None:
        """Answer what never got all of its evidence."""
        for incident in self.incidents.values():
            if incident.located is None:
                self._answer(incident)

    def _course(self, line: lines.Lost | lines.Broken | lines.End) -> None:
        match line:
            case lines.Lost():
                self.lost.append(line)
            case lines.Broken():
                self.broken = line
            case lines.End():
                self.end = line

    def _undo(self, undo: lines.Undo) -> None:
        for index, made in enumerate(self.made):
            if made.undone is None and (made.injection.kind, made.injection.round) == (undo.kind, undo.round):
                self.made[index] = attrs.evolve(made, undone=undo.at)

    def _evidence(self, line: Events | State | Answer) -> None:
        incident = self.incidents.get(line.spike)
        if incident is None:
            return
        match line:
            case Events():
                # The count is of the whole watch: what was lost since the last look may have been of this spike.
                incident = attrs.evolve(incident, events=attrs.evolve(line, lost=line.lost - self._missed))
                self._missed = line.lost
            case State():
                incident = attrs.evolve(incident, state=line)
            case Answer():
                incident = attrs.evolve(incident, answer=line)
        self.incidents[line.spike] = incident
        if incident.located is None and incident.events is not None and incident.state is not None:
            self._answer(incident)

    def _answer(self, incident: Incident) -> None:
        if self.facilities is not None:
            self.incidents[incident.spike.id] = self.solve(incident, self.facilities)
