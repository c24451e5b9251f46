"""Which spike belongs to which injection, and which belong to none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from perfrun_kernels.spike.incidents import Incident, Made, Watch


@attrs.frozen
class Sorted:
    """The spikes of a watch.

    They are those of ``injections`` (None: it showed none), those ``elsewhere`` meanwhile, and ``natural`` ones, which
    nobody made. An injection is ``overlaid`` where its pod was held up by something else already: the spike is a
    natural one, and shows nothing of what was done.
    """

    injections: Sequence[tuple[Made, Incident | None]]
    elsewhere: Sequence[Incident]
    natural: Sequence[Incident]
    overlaid: Sequence[tuple[Made, Incident]]


def sort(watch: Watch, longest: int) -> Sorted:
    """Return to which injection each spike belongs: the first one of its pod is its answer.

    One that was never said to be undone ends after ``longest`` nanoseconds.
    """
    every = [each for each in watch.incidents.values() if not each.false_alarm]
    taken: set[int] = set()
    first: list[tuple[Made, Incident | None]] = []
    elsewhere: list[Incident] = []
    overlaid: list[tuple[Made, Incident]] = []
    for made in watch.made:
        spikes = [each for each in _caused(made, every, longest) if each.spike.id not in taken]
        own = [each for each in spikes if each.spike.ip == made.injection.pod_ip]
        elsewhere.extend(each for each in spikes if each not in own)
        if own and _there_before(made, own[0]):
            overlaid.append((made, own[0]))
            spikes.remove(own[0])
        else:
            first.append((made, own[0] if own else None))
        taken.update(each.spike.id for each in spikes)
    return Sorted(first, elsewhere, [each for each in every if each.spike.id not in taken], overlaid)


def _caused(made: Made, incidents: list[Incident], longest: int) -> Iterator[Incident]:
    """Yield the spikes that happened while an injection held its pod up, in the order of their alarms.

    An injection is in effect a little before that is seen, so that it counts from its order on.
    """
    until = made.undone if made.undone is not None else made.injection.at + longest
    for each in sorted(incidents, key=lambda each: each.spike.at):
        if made.injection.ordered <= each.spike.at and each.spike.sent <= until:
            yield each


def _there_before(made: Made, incident: Incident) -> bool:
    """Return whether a spike cannot be the injection's: it is of another stage, and began before that was ordered."""
    where = incident.located
    if where is None or where.stage in ("unknown", made.truth):
        return False
    return where.start < made.injection.ordered
