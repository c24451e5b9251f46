"""The packet filter's part of an isolation: a table whose chains drop what a set names, and the set forgets by itself.

One table for each fault, so that two runs never undo each other. A ``netdev`` table hooks the uplinks themselves: it
sees every frame, address resolution too, and drops it without telling the sender, as a pulled cable does. Kernels
before 5.16 cannot filter there on the way out; they get an ``inet`` table, which drops all IP traffic of the same
interfaces.

What a network plugin forwards by BPF programs on an uplink (Cilium does) passes them before it passes any of this on
the way in: such a node still hears, and nobody hears it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Final

from perfrun_kernels.fault.refusal import LeftError, RefusedError

PREFIX: Final = "perfrun-chaos-"
"""What every table's name begins with; the rest is the fault's id."""

PLACES: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where nft is looked for besides $PATH, which has no sbin in many containers."""

NFT_SECONDS: Final = 5.0
"""Seconds after which nft is taken to hang; it needs milliseconds."""

SET: Final = "cut"

_HOOKS: Final = {
    "netdev": (
        "hook ingress devices = {{ {devices} }} priority -500",
        "hook egress devices = {{ {devices} }} priority -500",
    ),
    "inet": ("hook prerouting priority -500", "hook postrouting priority 500"),
}


@dataclass(frozen=True, order=True)
class Table:
    """A table of this agent, named as nft names it."""

    family: str
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.name}"


class NftError(Exception):
    """nft did not do what it was told; the message is what it said."""


class Nft:
    """The program nft, once found."""

    def __init__(self, program: str) -> None:
        self._program = program

    @classmethod
    def find(cls, path: str) -> Nft:
        """Find nft in ``path`` (as $PATH is written) or where it usually is.

        Raises:
            RefusedError: it is nowhere (reason NoNft).
        """
        program = shutil.which("nft", path=f"{path}{os.pathsep}{PLACES}")
        if program is None:
            raise RefusedError("NoNft", "the program nft is not in the agent's image; use one with nftables installed")
        return cls(program)

    def arm(self, fault: str, uplinks: list[str]) -> Table:
        """Make the fault's table, which drops nothing yet.

        Raises:
            RefusedError: the kernel takes neither kind of table (reason NftRefused).
        """
        problems = []
        for family in _HOOKS:
            table = Table(family, PREFIX + fault)
            try:
                # Made and deleted first, so that what an earlier agent of the same fault left is replaced.
                self._do(f"add table {table}\ndelete table {table}\n{definition(table, uplinks)}")
            except NftError as error:
                problems.append(f"{family}: {error}")
            else:
                return table
        raise RefusedError("NftRefused", f"the node's kernel takes no table that could drop packets ({problems})")

    def ready(self) -> Trigger:
        """Return a started nft that waits for its commands, so that none needs to be started when it counts."""
        return Trigger(
            subprocess.Popen(  # noqa: S603 -- the program that was found
                [self._program, "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        )

    def tables(self) -> list[Table]:
        """Return all tables of fault agents in this network namespace, sorted.

        Raises:
            NftError: the kernel does not say.
        """
        listed = [each["table"] for each in self._ask("list", "tables") if "table" in each]
        return sorted(Table(each["family"], each["name"]) for each in listed if each["name"].startswith(PREFIX))

    def dropping(self, table: Table) -> set[str]:
        """Return the uplinks whose packets the table drops just now.

        Raises:
            NftError: there is no such table, or the kernel does not say.
        """
        found: set[str] = set()
        for each in self._ask("list", "set", table.family, table.name, SET):
            # An element is a plain name, or an object where it has a timeout.
            for element in each.get("set", {}).get("elem", []):
                found.add(element["elem"]["val"] if isinstance(element, dict) else element)
        return found

    def remove(self, table: Table) -> None:
        """Delete the table and look that it is gone; without one, nothing happens.

        Raises:
            LeftError: it is still there (reason TableLeft).
        """
        try:
            # Adding is a no-op where there is one, and makes the deletion succeed where there is none.
            self._do(f"add table {table}\ndelete table {table}\n")
            left = table in self.tables()
        except NftError as error:
            raise LeftError("TableLeft", f"table {table} could not be removed: {error}") from error
        if left:
            raise LeftError("TableLeft", f"table {table} is still there after its removal")

    def _do(self, commands: str) -> None:
        trigger = self.ready()
        trigger.pull(commands)

    def _ask(self, *words: str) -> list[dict[str, Any]]:
        try:
            answer = subprocess.run(  # noqa: S603 -- the program that was found
                [self._program, "--json", *words], capture_output=True, check=False, timeout=NFT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise NftError(f"nft did not answer within {NFT_SECONDS:g} s") from error
        if answer.returncode:
            raise NftError(_first_line(answer.stderr))
        listed: list[dict[str, Any]] = json.loads(answer.stdout)["nftables"]
        return listed


class Trigger:
    """An nft that waits for its commands on standard input; without any (its parent died) it does nothing."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def pull(self, commands: str) -> float:
        """Have the commands carried out, all or none; return when that was done, in seconds since the epoch.

        Raises:
            NftError: none was.
        """
        try:
            _, said = self._process.communicate(commands.encode(), timeout=NFT_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.drop()
            raise NftError(f"nft did not finish within {NFT_SECONDS:g} s") from error
        done_at = time.time()
        if self._process.returncode:
            raise NftError(_first_line(said))
        return done_at

    def drop(self) -> None:
        """End the nft without having given it anything to do."""
        self._process.kill()
        self._process.communicate()


def definition(table: Table, uplinks: list[str]) -> str:
    """Return the table's definition in nft's language, with nothing in its set."""
    devices = ", ".join(quoted(each) for each in uplinks)
    into, out = (hook.format(devices=devices) for hook in _HOOKS[table.family])
    return (
        f"table {table} {{\n"
        f"  set {SET} {{ type ifname; flags timeout; }}\n"
        f"  chain into {{ type filter {into}; policy accept; iifname @{SET} drop; }}\n"
        f"  chain out {{ type filter {out}; policy accept; oifname @{SET} drop; }}\n"
        "}\n"
    )


def cutting(table: Table, uplinks: list[str], seconds: float) -> str:
    """Return the command that drops the uplinks' packets for ``seconds`` (at least 1 ms, in whole milliseconds)."""
    timeout = f"{max(1, round(1000 * seconds))}ms"
    elements = ", ".join(f"{quoted(each)} timeout {timeout}" for each in uplinks)
    return f"add element {table} {SET} {{ {elements} }}\n"


def quoted(name: str) -> str:
    """Return an interface's name as nft's language has it.

    Raises:
        RefusedError: it cannot be written there (reason BadInterface).
    """
    if '"' in name or not name.isprintable():
        raise RefusedError("BadInterface", f"the uplink {name!r} has a name that nft cannot be given; rename it")
    return f'"{name}"'


def _first_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else "nft failed without a word"
