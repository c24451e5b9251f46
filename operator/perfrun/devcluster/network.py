"""Namespaces, links and routes: a bridge joins control plane and nodes, and one veth pair lets the host in.

No namespace has a route to anything but the cluster's own range, so that neither load nor faults can leave it. All of
it is made inside the cluster's mount namespace and is gone when its last process is.
"""

import json
import subprocess
from concurrent.futures import Executor
from ipaddress import IPv4Network

from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.layout import CONTROL_PLANE, SLOTS, Layout

# Routers that must not drop what returns another way.
_SYSCTLS = ("ip_forward=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0")


def free_slot(taken: set[int]) -> int:
    """The first address range that no cluster has and no route of this machine overlaps.

    Raises:
        DevClusterError: all are in use.
    """
    answer = subprocess.run(
        ["ip", "-json", "-4", "route", "show", "table", "all"], check=True, capture_output=True, text=True
    )
    destinations = [route["dst"] for route in json.loads(answer.stdout or "[]") if route["dst"] != "default"]
    used = [IPv4Network(destination, strict=False) for destination in destinations]
    for slot, network in enumerate(SLOTS):
        if slot not in taken and not any(network.overlaps(other) for other in used if other.prefixlen):
            return slot
    raise DevClusterError(
        f"all {len(SLOTS)} address ranges below 198.18.0.0/15 are in use: take a cluster down with `perfrun dev down`"
    )


def remove_link(name: str) -> None:
    """Remove a link of the host, and with it the other end, if it is still there.

    The kernel does so with the other end's namespace, which connections that nobody closed keep for minutes.

    Raises:
        DevClusterError: the link stays.
    """
    done = subprocess.run(["ip", "link", "delete", "dev", name], check=False, capture_output=True, text=True)
    if done.returncode != 0 and link_exists(name):
        raise DevClusterError(
            f"link {name} of the cluster stays: {done.stderr.strip()}; remove it with `ip link delete`"
        )


def link_exists(name: str) -> bool:
    """Whether the host has a link of that name."""
    return subprocess.run(["ip", "link", "show", "dev", name], check=False, capture_output=True).returncode == 0


def create(layout: Layout, executor: Executor) -> None:
    """Make all namespaces, links and routes of the cluster.

    Raises:
        subprocess.CalledProcessError: the kernel refused, for example without the bridge or veth driver.
    """
    nodes = [layout.node_name(number) for number in layout.node_numbers]
    for namespace in (CONTROL_PLANE, *nodes):
        subprocess.run(["ip", "netns", "add", namespace], check=True, capture_output=True)
    _batch(None, _host_commands(layout))
    _batch(CONTROL_PLANE, _control_plane_commands(layout))
    for done in [executor.submit(_create_node, layout, number) for number in layout.node_numbers]:
        done.result()


def _create_node(layout: Layout, number: int) -> None:
    _batch(layout.node_name(number), _node_commands(layout, number))


def _host_commands(layout: Layout) -> list[str]:
    link, gateway = layout.host_link, layout.control_plane_ip
    return [
        f"link add {link} type veth peer name host netns {CONTROL_PLANE}",
        f"addr add {layout.host_ip}/24 dev {link}",
        f"link set {link} up",
        f"route add {layout.services} via {gateway}",
        f"route add {layout.pods} via {gateway}",
    ]


def _control_plane_commands(layout: Layout) -> list[str]:
    commands = [
        "link set lo up",
        "link add br0 type bridge",
        f"addr add {layout.control_plane_ip}/24 dev br0",
        "link set br0 up",
        "link set host master br0 up",
        # A Service address needs some route before kube-proxy rewrites it; this one leads nowhere else.
        f"route add {layout.services} dev br0",
    ]
    for number in layout.node_numbers:
        name = layout.node_name(number)
        commands += [
            f"link add {name} type veth peer name eth0 netns {name}",
            f"link set {name} master br0 up",
        ]
        commands.append(f"route add {layout.node_pods(number)} via {layout.node_ip(number)}")
    return commands


def _node_commands(layout: Layout, number: int) -> list[str]:
    others = (other for other in layout.node_numbers if other != number)
    return [
        "link set lo up",
        f"addr add {layout.node_ip(number)}/24 dev eth0",
        "link set eth0 up",
        # Service addresses need a route before kube-proxy rewrites them.
        f"route add default via {layout.control_plane_ip}",
        *(f"route add {layout.node_pods(other)} via {layout.node_ip(other)}" for other in others),
    ]


def _batch(namespace: str | None, commands: list[str]) -> None:
    inside = ["-n", namespace] if namespace else []
    subprocess.run(
        ["ip", *inside, "-batch", "-"], input="\n".join(commands) + "\n", check=True, capture_output=True, text=True
    )
    if namespace:
        settings = " && ".join(
            f"echo {value} > /proc/sys/net/ipv4/{key.replace('.', '/')}"
            for key, value in (setting.split("=") for setting in _SYSCTLS)
        )
        # `ip netns exec` would remount /sys and hide the cgroups; this is the way in that the nodes use too.
        subprocess.run([*enter(namespace), "sh", "-c", settings], check=True, capture_output=True)


def enter(namespace: str) -> list[str]:
    """The words before a command that run it in one of the cluster's network namespaces."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]
