"""Sender: threads that post spans to *receive* until they are answered: the same bytes, as exporters do, or the same
spans in another order, as from a collector in front that made up its batch anew."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fusebox.rundir import lookup
from tests.collector.otlp_samples import request, span
from tests.faults.collector.oracle import PROOF, Oracle

_SENDERS: Final = 3
_DAY_NS: Final = 86_400 * 10**9
_GIVE_UP: Final = 0.1
_ANEW: Final = 0.5
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
        """One request of 1 to 20 spans of the last days; an impatient one is tried once and given up."""
        spans = {os.urandom(8).hex(): chance.randrange(1000) for _ in range(chance.randint(1, 20))}
        proofs = self._oracle.issue(spans)
        trace, now = os.urandom(16), time.time_ns()
        made = [
            span(
                {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": tokens, PROOF: proofs[id]},
                span_id=bytes.fromhex(id), trace_id=trace,
                start_time_unix_nano=now - chance.randrange(3) * _DAY_NS, end_time_unix_nano=now,
            ) for id, tokens in spans.items()
        ]  # fmt: skip
        while not self._is_accepted(request(*made).SerializeToString()):
            if not patient:
                return
            time.sleep(_PAUSE_S)
            if chance.random() < _ANEW:
                chance.shuffle(made)
        self._oracle.owe(spans)

    def _is_accepted(self, body: bytes) -> bool:
        info = lookup(self._data_dir, "receive")
        if info is None:
            return False
        address = urlsplit(info["url"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", "/v1/traces", body, self._headers())
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
