"""The host's end of a cluster's network goes with the cluster, whatever still holds the other end."""

import os
import subprocess

import pytest

from perfrun.devcluster import network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes links")


def test_a_link_whose_other_end_is_kept_is_removed_at_once_and_one_that_is_gone_is_no_error():
    name = f"pf{os.getpid()}"
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo here; exec sleep 60"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"here\n"
        peer = ("peer", "name", "eth0", "netns", str(holder.pid))
        subprocess.run(["ip", "link", "add", name, "type", "veth", *peer], check=True)
        assert network.link_exists(name)
        network.remove_link(name)
        assert not network.link_exists(name)
        network.remove_link(name)
    finally:
        holder.kill()
        holder.communicate()
