"""Sends OTLP bodies over HTTP: as fast as answers come, or at a steady pace."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

CONNECTIONS: Final = 4
_OK: Final = 200
_LATER: Final = (429, 503)
_TRIES: Final = 600


class Sender:
    """One connection that stays open.

    Raises:
        SystemExit: the server refused for good.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._headers = {"Content-Type": "application/x-protobuf", **headers}
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=300)

    def send(self, body: bytes) -> None:
        """Send one body; a server that says "later" is asked again."""
        for _ in range(_TRIES):
            self._connection.request("POST", self._path, body, self._headers)
            answer = self._connection.getresponse()
            text = answer.read()
            if answer.status == _OK:
                return
            if answer.status not in _LATER:
                break
            time.sleep(float(answer.headers.get("Retry-After", "0.1")))
        raise SystemExit(f"{self._path} answered {answer.status}: {text[:300]!r}")

    def close(self) -> None:
        self._connection.close()


def flood(url: str, headers: Mapping[str, str], bodies: Sequence[bytes]) -> None:
    """Send everything over :data:`CONNECTIONS` connections, each as soon as its last was answered."""

    def run(part: Sequence[bytes]) -> None:
        sender = Sender(url, headers)
        for body in part:
            sender.send(body)
        sender.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(run, [bodies[i::CONNECTIONS] for i in range(CONNECTIONS)]))


def paced(url: str, headers: Mapping[str, str], bodies: Sequence[bytes], per_second: float) -> list[float]:
    """Send at a steady pace; seconds from when each body was due until its answer, so that a stall counts for all
    that were due meanwhile."""
    start = time.perf_counter() + 0.1

    def run(lane: int) -> list[float]:
        sender, taken = Sender(url, headers), []
        for number in range(lane, len(bodies), 2 * CONNECTIONS):
            due = start + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            sender.send(bodies[number])
            taken.append(time.perf_counter() - due)
        sender.close()
        return taken

    with ThreadPoolExecutor(2 * CONNECTIONS) as pool:
        return [seconds for lane in pool.map(run, range(2 * CONNECTIONS)) for seconds in lane]
