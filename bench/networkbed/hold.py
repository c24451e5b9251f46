"""``hold.py SECONDS``: makes the TUN device hold0 here, and gives back each packet that it gets after so long.

A thread of its own wakes for each packet rather than once for several, so that all are held alike.
"""

from __future__ import annotations

import collections
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def main(seconds: float) -> None:
    """Hold packets until this process is ended."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22s", b"hold0", IFF_TUN | IFF_NO_PI, b""))
    print("holding", flush=True)
    held: collections.deque[tuple[float, bytes]] = collections.deque()
    poll = select.epoll()
    poll.register(device, select.EPOLLIN)
    while True:
        left = held[0][0] - time.monotonic() if held else 1.0
        # Waits have milliseconds: the last one is spent awake.
        if poll.poll(max(0.0, left - 0.001)):
            held.append((time.monotonic() + seconds, os.read(device, 65536)))
        while held and held[0][0] <= time.monotonic():
            os.write(device, held.popleft()[1])


if __name__ == "__main__":
    main(float(sys.argv[1]))
