"""The person on call: takes alerts as signed webhooks and remembers them."""

from __future__ import annotations

from http import HTTPStatus
from threading import Lock

from examples.web import Answer, Json, Request, WebServer
from fusebox.clock import Clock
from fusebox.webhooks import BadWebhook, new_secret, verify


class Pager:
    """Receives Standard Webhooks; each alert counts once, however often it is delivered."""

    def __init__(self, clock: Clock) -> None:
        self.secret = new_secret()
        self._clock = clock
        self._alerts: dict[str, Json] = {}
        self._lock = Lock()
        self._web = WebServer(self._respond)
        self.url = self._web.url

    def start(self) -> None:
        self._web.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._web.stop(timeout)

    @property
    def alerts(self) -> list[Json]:
        """The alerts so far, oldest first."""
        with self._lock:
            return list(self._alerts.values())

    def _respond(self, request: Request) -> Answer:
        try:
            alert = verify([self.secret], request.headers, request.body, now=self._clock.wall())
        except BadWebhook as error:
            return Answer({"error": str(error)}, HTTPStatus.UNAUTHORIZED)
        with self._lock:
            self._alerts.setdefault(alert, request.json())
        return Answer({})
