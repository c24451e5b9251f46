"""A client that never rests: each of its connections has the next request as soon as it has its answer.

``python asking.py ADDRESS PORT PATH CONNECTIONS`` until it is ended. No latency can be told from it: a server that is
held up is asked less. It tells how much a server carries that is always asked.
"""

import select
import socket
import sys


def main() -> None:
    """Ask until the process is ended, or the server closes a connection."""
    address, port, path, connections = sys.argv[1:]
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    waiting, ways = select.epoll(), {}
    for _ in range(int(connections)):
        way = socket.create_connection((address, int(port)))
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways[way.fileno()] = way
        waiting.register(way, select.EPOLLIN)
        way.send(request)
    while True:
        for number, _ in waiting.poll():
            # The answer is short, and comes in one piece.
            if not ways[number].recv(4096):
                return
            ways[number].send(request)


if __name__ == "__main__":
    main()
