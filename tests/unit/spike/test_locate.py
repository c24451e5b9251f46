"""The stage of the kernel that a probe was held up in, from streams that show each of them, and from what lacks."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfrun_kernels.spike.lines import Event, Events, Spike, State
from perfrun_kernels.spike.locate import STAGES, locate


def located(stream, **more):
    return locate(stream.spike(), stream.seen(), stream.state, stream.shown, "c1", **more)


def test_a_packet_that_stays_in_the_queue_is_the_qdiscs(stream):
    stream.packet(3, "dev_queue").packet(4, "qdisc_enqueue")
    found = located(stream)
    assert (found.stage, found.missing) == ("qdisc", "")
    assert "the request entered the queue and did not leave it, at interface 12" in found.why


def test_a_packet_that_leaves_the_queue_late_says_how_late(stream):
    stream.packet(3, "dev_queue").packet(4, "qdisc_enqueue").packet(9_504, "qdisc_dequeue").packet(9_505, "dev_xmit")
    assert "left the queue 9.5 ms after it had entered" in located(stream).why


def test_an_answer_can_wait_in_a_queue_as_well(stream):
    stream.arrives().served(20).packet(60, "dev_queue", "reply").packet(61, "qdisc_enqueue", "reply")
    found = located(stream)
    assert found.stage == "qdisc"
    assert "the reply entered" in found.why


def test_a_packet_that_is_held_on_its_way_to_the_socket_is_the_softirqs(stream):
    stream.sent().packet(9, "netif_receive")
    assert located(stream).stage == "softirq"
    stream.packet(9_009, "sock_ready")
    assert "for 9.0 ms until sock_ready" in located(stream).why


def test_a_packet_that_no_softirq_takes_up_is_the_softirqs(stream):
    stream.sent()
    found = located(stream)
    assert found.stage == "softirq"
    assert "backlog" in found.why


def test_a_dropped_packet_names_the_kernels_reason(stream):
    stream.packet(3, "drop", reason="TC_EGRESS")
    found = located(stream)
    assert found.stage == "drop"
    assert found.why == "the kernel dropped the request at interface 12 (TC_EGRESS)"


def test_a_drop_before_a_packet_that_arrived_all_the_same_held_nothing_up(stream):
    stream.sent().packet(8, "drop", reason="NOT_SPECIFIED").packet(9, "netif_receive").packet(12, "sock_ready")
    stream.throttled().task(14, "waking", cpu=0).task(15, "wakeup")
    assert located(stream).stage == "throttled"


def test_a_bare_acknowledgement_is_no_packet_of_the_probe(stream):
    stream.packet(3, "dev_queue").packet(4, "qdisc_enqueue").packet(900, "sock_ready", length=0)
    assert located(stream).stage == "qdisc"


def test_a_task_that_nobody_wakes_is_a_matter_of_waking(stream):
    found = located(stream.arrives().saw("S"))
    assert found.stage == "wakeup"
    assert "nobody woke nginx (4711)" in found.why


def test_a_frozen_task_is_said_to_be_frozen(stream):
    stream.arrives().held(frozen=True)
    found = located(stream)
    assert (found.stage, "frozen" in found.why) == ("wakeup", True)


def test_a_task_that_the_freezer_took_off_its_cpu_tells_it_without_the_state(stream):
    stream.arrives().served(20).task(30, "switch_out", state="F")
    stream.state = None
    assert located(stream).stage == "wakeup"


def test_a_woken_task_that_does_not_run_waits_in_the_run_queue(stream):
    stream.arrives().task(13, "waking", cpu=0).task(14, "wakeup", other=99, other_comm="spinner")
    found = located(stream)
    assert found.stage == "runqueue"
    assert "for CPU 1 while spinner (99) ran" in found.why


def test_who_ran_instead_is_also_told_by_whom_the_task_replaces_at_last(stream):
    stream.arrives().task(13, "waking", cpu=0).task(14, "wakeup").task(8000, "switch_in", other=99, other_comm="hog")
    assert "while hog (99) ran" in located(stream).why


def test_a_task_that_was_taken_off_while_it_could_run_waits_too(stream):
    stream.arrives().served(20).task(24, "switch_out", state="R", other=99, other_comm="hog")
    found = located(stream)
    assert found.stage == "runqueue"
    assert "while hog (99) ran" in found.why


@pytest.mark.parametrize(
    ("task", "stage", "sentence"),
    [
        ({"state": "R", "ran": False}, "runqueue", "nginx (4711) waited 2.0 ms for CPU 1"),
        ({"state": "R", "ran": True}, "application", "nginx (4711) had the CPU for 2.0 ms"),
        ({"state": "R"}, "unknown", "whether it had a CPU was not seen"),
        ({"state": "S"}, "wakeup", "nobody woke nginx (4711)"),
        ({"state": "S", "where": "ep_poll"}, "wakeup", "nobody woke nginx (4711), which slept in ep_poll"),
        ({"state": "D"}, "application", "nginx (4711) was blocked, and did not wait for the request"),
        ({"state": "D", "where": "pipe_write"}, "application", "nginx (4711) was blocked in pipe_write"),
        ({"state": "S", "pid": 4712}, "unknown", "nothing was heard of nginx (4711), and what it was doing"),
    ],
)
def test_a_task_without_any_event_did_all_the_time_what_it_did_at_the_alarm(stream, task, stage, sentence):
    found = located(stream.arrives().saw(**task))
    assert found.stage == stage
    assert sentence in found.why


def test_what_a_task_is_heard_of_counts_more_than_what_was_seen_at_the_alarm(stream):
    stream.arrives().task(13, "waking", cpu=0).task(14, "wakeup", other=99, other_comm="spinner")
    assert located(stream.saw("R", ran=True)).stage == "runqueue"


def test_a_ready_task_of_a_throttled_or_frozen_container_is_held_by_that(stream):
    stream.arrives().saw("R", ran=False)
    assert located(stream.throttled()).stage == "throttled"
    assert "was frozen" in located(stream.held(frozen=True)).why


def test_a_task_that_waits_while_its_container_is_throttled_is_throttled(stream):
    stream.arrives().served(20).task(24, "switch_out", state="R").throttled(2)
    found = located(stream)
    assert found.stage == "throttled"
    assert "throttled for 2.0 ms" in found.why


def test_a_container_that_is_throttled_long_since_shows_no_task_at_all(stream):
    stream.events.clear()
    stream.arrives().throttled()
    assert located(stream).stage == "throttled"


def test_a_task_that_runs_all_the_time_is_the_applications(stream):
    found = located(stream.arrives().served(20))
    assert found.stage == "application"
    assert "had the CPU for 2.0 ms" in found.why


def test_a_task_that_ran_and_then_sleeps_is_the_applications(stream):
    assert located(stream.arrives().served(20).task(40, "switch_out", state="S")).stage == "application"


def test_whoever_else_is_woken_in_that_moment_does_not_serve_the_connection(stream):
    stream.arrives()
    # Of another pod, and of the same: on a busy node there are many.
    stream.add(14, "waking", netns=stream.events[-1].netns + 1, pid=6000, cpu=0, comm="other")
    stream.task(15, "waking", pid=4712, cpu=0).task(16, "wakeup", pid=4712).task(20, "switch_in", pid=4712)
    found = located(stream.held(frozen=True))
    assert found.stage == "wakeup"
    assert "nginx (4711) was frozen" in found.why


def test_where_many_threads_read_it_is_the_woken_one_of_the_pod(stream):
    stream.packet(-500, "recv", pid=5001).arrives()
    inside = stream.events[-1].netns
    stream.add(13, "waking", netns=inside + 1, pid=6000, cpu=0, comm="other")
    stream.add(14, "waking", netns=inside, pid=5002, cpu=0, comm="worker")
    stream.add(15, "wakeup", netns=inside, pid=5002, cpu=1, comm="worker", other=99, other_comm="hog")
    assert "worker (5002) waited" in located(stream).why


def test_another_thread_that_reads_the_request_at_last_is_the_one_that_counts(stream):
    stream.arrives()
    stream.add(13, "wakeup", pid=5000, netns=stream.events[-1].netns, cpu=1, comm="worker")
    stream.add(9000, "switch_in", pid=5000, cpu=1, comm="worker", other=99, other_comm="hog")
    stream.packet(9003, "recv", pid=5000)
    found = located(stream)
    assert found.stage == "runqueue"
    assert "worker (5000) waited" in found.why


@pytest.mark.parametrize(
    ("lacking", "sentence"),
    [
        ({"sock_ready"}, "when a packet reaches its socket"),
        ({"switch_in"}, "which tasks it wakes and runs"),
        ({"dev_queue", "dev_xmit"}, "packets at devices"),
    ],
)
def test_what_the_kernel_does_not_show_is_missing(stream, lacking, sentence):
    stream.shown = stream.shown - lacking
    stream.events = [each for each in stream.events if each.kind not in lacking]
    if "sock_ready" in lacking:
        stream.sent().packet(9, "netif_receive")
    elif "switch_in" in lacking:
        stream.arrives()
    found = located(stream)
    assert found.stage == "unknown"
    assert sentence in found.missing


def test_lost_events_prove_nothing_by_their_absence(stream):
    stream.packet(3, "dev_queue").packet(4, "qdisc_enqueue")
    stream.lost = 3
    assert located(stream).missing.startswith("events were lost")
    stream.packet(9_504, "qdisc_dequeue")
    assert located(stream).stage == "qdisc"


def test_without_the_containers_state_a_wait_is_neither_throttling_nor_a_queue(stream):
    stream.arrives().served(20).task(24, "switch_out", state="R")
    stream.state = None
    assert "quota" in located(stream).missing


def test_a_recording_that_begins_too_late_is_none(stream):
    late = attrs.evolve(stream.seen(), start=stream.spike().sent + 1)
    assert locate(stream.spike(), late, stream.state, stream.shown).stage == "unknown"
    assert locate(stream.spike(), None, stream.state, stream.shown).stage == "unknown"


def test_a_probe_of_which_nothing_is_seen_is_unknown(stream):
    assert "nothing of the probe was seen" in located(stream).missing


EVENTS = st.builds(
    Event, st.integers(0, 99), st.sampled_from(["dev_queue", "qdisc_enqueue", "netif_receive", "sock_ready", "recv",
    "drop", "waking", "wakeup", "switch_in", "switch_out", "anything"]), st.integers(0, 2),
    direction=st.sampled_from(["request", "reply", ""]), port=st.integers(0, 1), length=st.integers(0, 1),
    pid=st.integers(0, 2), state=st.sampled_from(["R", "S", "F", ""]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=12), st.integers(0, 99), st.integers(0, 99), st.booleans())
def test_every_stream_has_an_answer(events, sent, deadline, known):
    spike = Spike(1, deadline, "10.1.0.5", 1, 0, sent, deadline, 0)
    seen = Events(1, 0, 99, complete=True, lost=0, events=tuple(events))
    found = locate(spike, seen, State(1, 0, ()) if known else None, frozenset(each.kind for each in events))
    assert found.stage in STAGES
    assert (found.stage == "unknown") == bool(found.missing)
