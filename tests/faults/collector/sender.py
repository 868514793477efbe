"""Sender: threads that post spans and logs to *receive* until they are answered: the same bytes, as exporters do, or
the same spans in another order, as from a collector in front that made up its batch anew."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fusebox.rundir import lookup
from tests.faults.collector.content import Parcel, logs, spans
from tests.faults.collector.oracle import Oracle

_SENDERS: Final = 3
_GIVE_UP: Final = 0.1
_ANEW: Final = 0.5
_LOGS: Final = 0.3
_PACE_S: Final = 0.1
_PAUSE_S: Final = 0.02
_TIMEOUT_S: Final = 10.0
_OK: Final = 200
_TRY_AGAIN: Final = (503, 429)


class Sender:
    """See the module.

    Args:
        data_dir: where *receive* announces itself and its token lies.
    """

    def __init__(self, data_dir: Path, oracle: Oracle, seed: int) -> None:
        self._data_dir, self._oracle, self._seed = data_dir, oracle, seed
        self._round = 0
        self.refused: list[str] = []
        """Answers that no later try could heal: there must be none."""
        self.throttled = 0
        """Answers 503 or 429."""

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Send until the block ends; then finish what was begun."""
        self._round += 1
        over = threading.Event()
        threads = [threading.Thread(target=self._send, args=(over, number)) for number in range(_SENDERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _send(self, over: threading.Event, number: int) -> None:
        chance = random.Random(f"{self._seed} {self._round} {number}")
        while not over.is_set():
            self.post(chance, patient=chance.random() > _GIVE_UP)
            time.sleep(chance.uniform(0, _PACE_S))

    def post(self, chance: random.Random, *, patient: bool) -> None:
        """One request of 1 to 20 spans or log records; an impatient one is tried once and given up."""
        make = logs if chance.random() < _LOGS else spans
        parcel = make(chance, chance.randint(1, 20))
        self._oracle.issue(parcel)
        while not self._is_accepted(parcel):
            if not patient:
                return
            time.sleep(_PAUSE_S)
            if make is spans and chance.random() < _ANEW:  # a log record has no id by which it would be known
                chance.shuffle(parcel.items)
        self._oracle.owe(parcel)

    def _is_accepted(self, parcel: Parcel) -> bool:
        info = lookup(self._data_dir, "receive")
        if info is None:
            return False
        address = urlsplit(info["url"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", parcel.path, parcel.body(), self._headers())
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status in _TRY_AGAIN:
            self.throttled += 1
        elif answer.status != _OK:
            self.refused.append(f"{answer.status}: {text[:200]!r}")
        return answer.status == _OK

    def _headers(self) -> dict[str, str]:
        token = (self._data_dir / "agent.token").read_text().strip()
        return {"content-type": "application/x-protobuf", "authorization": f"Bearer {token}"}
