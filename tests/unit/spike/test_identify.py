"""Whose container a spike is: from namespaces and cgroup paths of both versions, and what cannot be told."""

import attrs
import pytest

from perfrun_kernels.spike.identify import Home, home, identify
from perfrun_kernels.spike.lines import Event, Place, Spike, Topology
from perfrun_kernels.spike.order import Container, Pod

UID = "51a5b68b-2209-4748-b5d2-0c9d69f8e881"
WEB, SIDE, PAUSE = "a" * 64, "b" * 64, "c" * 64
CONTAINERS = (Container("web", WEB), Container("log", SIDE)), (Container("web", "d" * 64),)
PODS = (
    Pod("shop", "web-1", UID, "10.1.0.5", host_network=False, containers=CONTAINERS[0]),
    Pod("shop", "web-2", UID.replace("5", "6"), "10.1.0.6", host_network=False, containers=CONTAINERS[1]),
)
BELOW = f"/kubepods/besteffort/pod{UID}"
UNIT = UID.replace("-", "_")
GROUPS = {1: f"{BELOW}/{PAUSE}", 2: f"{BELOW}/{WEB}", 3: f"{BELOW}/{SIDE}"}
PLACE = Place("10.1.0.5", 77, 12, "veth12", (1, 2, 3), GROUPS)
OTHER = Place("10.1.0.6", 78, 13, "veth13", (4,), {4: f"/kubepods/pod{PODS[1].uid}/{'d' * 64}"})
NODE = Topology(70, (PLACE, OTHER))
SPIKE = Spike(1, 30, "10.1.0.5", 40_001, 1, 10, 20, 0)


def whose(events=(), topology=NODE, listening=(2,), spike=SPIKE, pods=PODS):
    return identify(spike, events, topology, pods, 8080, lambda pids, _: set(pids) & set(listening))


@pytest.mark.parametrize(
    "path",
    [
        f"/kubepods/besteffort/pod{UID}/{WEB}",
        f"/kubepods/pod{UID}/{WEB}",
        f"/perfrun0-lead/node1/kubepods/burstable/pod{UID}/{WEB}",
        f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNIT}.slice/cri-containerd-{WEB}.scope",
        f"/kubepods.slice/kubepods-pod{UNIT}.slice/crio-{WEB}.scope/container",
        f"/system.slice/containerd.service/kubepods-besteffort-pod{UNIT}.slice:cri-containerd:{WEB}",
    ],
)
def test_pod_and_container_are_read_from_cgroup_paths_of_every_manner(path):
    assert home(path) == Home(UID, WEB)


@pytest.mark.parametrize("path", ["/", "/system.slice/sshd.service", f"/docker/{WEB}", f"/kubepods/pod{UID}"])
def test_a_path_of_no_container_is_none(path):
    assert home(path).container == ""


def test_the_container_is_the_one_that_listens_and_never_the_pause():
    found = whose([Event(12, "netif_receive", netns=77, direction="request", port=40_001)])
    assert (found.pod, found.container, found.proven) == (PODS[0], PODS[0].containers[0], True)
    assert found.why == "shop/web-1, by the network namespace 77; a process of container web listens on port 8080"


def test_the_device_towards_the_pod_tells_it_where_the_packet_never_arrived():
    found = whose([Event(12, "qdisc_enqueue", netns=70, ifindex=12, direction="request", port=40_001)])
    assert (found.pod, found.proven) == (PODS[0], True)
    assert "by the device veth12" in found.why


def test_the_task_that_a_softirq_interrupted_is_not_asked():
    interrupted = Event(12, "netif_receive", netns=77, direction="request", port=40_001, pid=4, comm="nginx")
    assert whose([interrupted]).pod == PODS[0]


def test_packets_of_other_connections_and_earlier_probes_tell_nothing():
    others = [Event(12, "sock_ready", netns=78, port=40_002), Event(9, "sock_ready", netns=78, port=40_001)]
    found = whose(others)
    assert (found.pod, found.proven) == (PODS[0], False)
    assert "by the address" in found.why


def test_without_a_listener_the_only_container_alive_is_the_one():
    found = whose(spike=attrs.evolve(SPIKE, ip="10.1.0.6"), listening=())
    assert found.container == PODS[1].containers[0]
    assert "is the only one with processes" in found.why


@pytest.mark.parametrize(
    ("listening", "sentence"), [((), "is seen to listen"), ((1,), "is seen to listen"), ((2, 3), "log, web listen")]
)
def test_two_containers_that_may_be_meant_are_none(listening, sentence):
    found = whose(listening=listening)
    assert (found.pod, found.container) == (PODS[0], None)
    assert sentence in found.why


def test_an_address_of_nobody_is_said():
    found = whose(spike=attrs.evolve(SPIKE, ip="10.9.9.9"))
    assert (found.pod, found.why) == (None, "no network namespace of this node has the address 10.9.9.9")


def test_a_namespace_whose_pod_is_gone_or_a_strangers_is_said():
    gone = Topology(70, (attrs.evolve(PLACE, cgroups={}),))
    assert "pods none live" in whose(topology=gone).why
    assert f"pods {UID} live" in whose(pods=PODS[1:]).why
