"""Handing in a result: over HTTP as long as it takes, and as a summary where Kubernetes keeps it.

A measurement may have cost minutes of a GPU, while the operator may be restarting just now. So the hand-in tries
again until its time is up, and is idempotent: an answer that got lost is followed by the same request.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import attrs

from perfrun_kernels import contract
from perfrun_kernels.contract import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

INDEX_ENV: Final = "JOB_COMPLETION_INDEX"
"""Environment variable in which Kubernetes tells the pod of an Indexed Job which one it is."""

TRY_SECONDS: Final = 10.0
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
PASSING: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""Client errors that ask to come again later; all others are final."""


def completion_index(environ: Mapping[str, str]) -> int | None:
    """Return which pod of an Indexed Job this is, or None where it is none.

    Raises:
        ContractError: what the environment holds is no index.
    """
    text = environ.get(INDEX_ENV, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise ContractError(f"{INDEX_ENV} is {text!r}; expected a whole number from 0, as Kubernetes sets it")
    return int(text)


@attrs.frozen
class Destination:
    """Where a result goes, as the environment says; each pod of an Indexed Job has a place of its own."""

    url: str
    token_file: str = ""
    ca_file: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Destination | None:
        """Return the destination, or None where a parent reads standard output instead.

        Raises:
            ContractError: the pod's index is none.
        """
        url = environ.get(contract.RESULT_URL_ENV, "")
        if not url:
            return None
        if (index := completion_index(environ)) is not None:
            url = f"{url}/{index}"
        return cls(url, environ.get(contract.TOKEN_FILE_ENV, ""), environ.get(contract.CA_FILE_ENV, ""))

    def partial(self) -> Destination:
        """Return where what the program has goes while it goes on."""
        return attrs.evolve(self, url=f"{self.url}?{contract.PARTIAL_QUERY}")


@attrs.frozen
class Pacing:
    """Time and chance, as arguments: seconds on a monotonic clock, a pause, and a number in [0, 1)."""

    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


class HandInError(Exception):
    """The result was refused for good, or nobody took it in time; the message is one sentence."""


def put(destination: Destination, body: str, patience_seconds: float, pacing: Pacing = Pacing()) -> int:
    """PUT ``body`` until it is taken; return the number of tries.

    2xx and 409 (it is there already) are success. Other 4xx are final; anything else is tried again, with pauses
    that double from 0.2 s to 5 s, shortened at random by up to a half, until ``patience_seconds`` are over.

    Raises:
        HandInError: it was refused, or the time is up.
    """
    deadline = pacing.clock() + patience_seconds
    pause, tries = FIRST_PAUSE_SECONDS, 0
    while True:
        tries += 1
        problem = _attempt(destination, body.encode())
        if problem is None:
            return tries
        wait = pause * (1 - pacing.chance() / 2)
        if pacing.clock() + wait >= deadline:
            raise HandInError(f"{destination.url} did not take the result in {tries} tries; the last one: {problem}")
        pacing.pause(wait)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _attempt(destination: Destination, body: bytes) -> str | None:
    """Try once; return None on success and a passing problem otherwise; raise HandInError on a final one."""
    try:
        request = Request(destination.url, data=body, method="PUT", headers={"Content-Type": "application/json"})  # noqa: S310 -- the operator sets the URL
        if destination.token_file:
            token = Path(destination.token_file).read_text(encoding="ascii").strip()
            request.add_header("Authorization", f"Bearer {token}")
        with _opener(destination).open(request, timeout=TRY_SECONDS) as answer:
            answer.read()
    except HTTPError as error:
        return _judge(destination, error)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _judge(destination: Destination, error: HTTPError) -> str | None:
    if error.code == HTTPStatus.CONFLICT:
        return None
    with error:
        said = error.read(200).decode(errors="replace").strip()
    problem = f"status {error.code} {said}".rstrip()
    if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in PASSING:
        raise HandInError(f"{destination.url} refused the result for good: {problem}")
    return problem


def _opener(destination: Destination) -> OpenerDirector:
    """Return an opener that trusts the operator's certificate only and goes through no proxy."""
    direct = ProxyHandler({})
    if not destination.ca_file:
        return build_opener(direct)
    return build_opener(direct, HTTPSHandler(context=ssl.create_default_context(cafile=destination.ca_file)))


def leave_message(path: Path, text: str) -> bool:
    """Write a termination message; return False where the place is not writable, which is no failure."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        return False
    return True
