"""Receivers of alerts: an HTTP server that answers as told, and a sink that does."""

from __future__ import annotations

import http.server
import threading
import time
from typing import Any

from collector.alerts.alert import Alert
from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Fate, Outcome
from fusebox.webhooks import new_secret, verify

SECRET = new_secret()


def alert(number: int = 1, type: str = "circuit.opened", **data: Any) -> Alert:
    return Alert(f"alert_{number}", type, "2026-01-01T00:00:00.000Z", {"agent": "bot", "reason": "loop", **data})


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook receiver that answers as told and keeps what it got."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.slow: float = 0.0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?tenant=1"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(5)

    def verified(self, *keys: str) -> list[str]:
        return [verify(keys or [SECRET], headers, body, now=time.time()) for headers, body in list(self.got)]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((dict(self.headers), body))
        self.server.paths.append(self.path)
        status, headers, content = self.server.answers.pop(0) if self.server.answers else (204, {}, b"")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), 1024 if self.server.slow else 1 << 20):
            time.sleep(self.server.slow)
            try:
                self.wfile.write(content[start : start + (1024 if self.server.slow else 1 << 20)])
            except OSError:
                return

    def log_message(self, format: str, *args: Any) -> None:
        return


class ToldSink:
    """Does with each parcel what it is told, in order; delivers when it is told nothing more."""

    def __init__(self, name: str = "told") -> None:
        self.name = name
        self.outcomes: list[Outcome] = []
        self.attempts: list[Parcel] = []
        self.got: list[Parcel] = []

    def deliver(self, parcel: Parcel) -> Outcome:
        self.attempts.append(parcel)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome(Fate.DELIVERED)
        if outcome.fate is Fate.DELIVERED:
            self.got.append(parcel)
        return outcome

    def close(self) -> None:
        return

    def ids(self) -> list[str]:
        """Alerts in the order in which they came."""
        return [alert.id for parcel in self.got for alert in parcel.alerts]
