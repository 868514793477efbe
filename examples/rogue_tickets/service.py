"""The ticket service over HTTP, the webhooks it posts, and the client of its API.

====================================== ==================================================
``POST /tickets``                      ``{title, body, customer}`` → ``{id}``
``GET /tickets/{id}``                  → the ticket
``POST /tickets/{id}/comments``        ``{author, text}`` → ``{comment, ticket, status}``
``POST /tickets/{id}/labels``          ``{author, label}`` → the ticket
``POST /webhooks``                     ``{notice, url}`` → ``{}``; the notices are posted there from now on
====================================== ==================================================

A webhook is ``POST {notice, ticket, …}``. No trace context travels with it: this is the gap that hides the loop.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from examples.rogue_tickets.tickets import NOTICES, NoSuchTicket, Tickets
from examples.web import Answer, Json, Request, ServiceRefused, ServiceUnavailable, WebServer, call, not_found
from fusebox import happenings
from fusebox.errors import BadMessage

WEBHOOK_LOST: Final = happenings.declare("demo_webhook_lost", logging.WARNING, "a subscriber did not take a webhook")


class TicketService:
    """Serves :class:`Tickets` and posts its notices to subscribers, one after the other.

    Args:
        pause: called before each webhook; sleeps as long as delivery takes.
        bound: see :class:`Tickets`.
        first: see :class:`Tickets`.
    """

    def __init__(self, *, pause: Callable[[], None] = lambda: None, bound: int = 200, first: int = 1000) -> None:
        self.tickets = Tickets(self._notify, bound=bound, first=first)
        self._pause = pause
        self._subscribers: dict[str, list[str]] = {}
        self._outbox: queue.SimpleQueue[tuple[str, Json] | None] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send, name="demo-webhooks", daemon=True)
        self._web = WebServer(self._respond)
        self.url = self._web.url

    def start(self) -> None:
        self._web.start()
        self._sender.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End; legal before start and twice. Notices not sent yet are dropped."""
        self._web.stop(timeout)
        self.unsubscribe_all()
        self._outbox.put(None)
        if self._sender.ident:
            self._sender.join(timeout)

    def unsubscribe_all(self) -> None:
        """Post no more webhooks."""
        self._subscribers.clear()

    def _notify(self, notice: str, data: Json) -> None:
        self._outbox.put((notice, data))

    def _send(self) -> None:
        while (item := self._outbox.get()) is not None:
            notice, data = item
            self._pause()
            for url in tuple(self._subscribers.get(notice, ())):
                _post(url, {"notice": notice, **data})

    def _respond(self, request: Request) -> Answer:
        try:
            return self._route(request)
        except NoSuchTicket as error:
            return Answer({"error": str(error)}, HTTPStatus.NOT_FOUND)

    def _route(self, request: Request) -> Answer:
        match request.method, request.path:
            case "POST", ("tickets",):
                return Answer({"id": self.tickets.open(*_texts(request, "title", "body", "customer"))})
            case "GET", ("tickets", ticket):
                return Answer(self.tickets.read(ticket))
            case "POST", ("tickets", ticket, "comments"):
                return Answer(self.tickets.comment(ticket, *_texts(request, "author", "text")))
            case "POST", ("tickets", ticket, "labels"):
                return Answer(self.tickets.label(ticket, *_texts(request, "author", "label")))
            case "POST", ("webhooks",):
                return self._subscribe(*_texts(request, "notice", "url"))
        return not_found(request)

    def _subscribe(self, notice: str, url: str) -> Answer:
        if notice not in NOTICES:
            raise BadMessage(f"there is no notice {notice!r}, only {', '.join(NOTICES)}")
        urls = self._subscribers.setdefault(notice, [])
        if url not in urls:
            urls.append(url)
        return Answer({})


class TicketClient:
    """The service's API for an agent's tools.

    Every method raises:
        ServiceRefused, ServiceUnavailable: see :mod:`examples.web`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self, ticket: str) -> Json:
        return call("GET", f"{self._url}/tickets/{ticket}")

    def comment(self, ticket: str, author: str, text: str) -> Json:
        return call("POST", f"{self._url}/tickets/{ticket}/comments", {"author": author, "text": text})

    def label(self, ticket: str, author: str, label: str) -> Json:
        return call("POST", f"{self._url}/tickets/{ticket}/labels", {"author": author, "label": label})

    def subscribe(self, notice: str, url: str) -> None:
        """Have the service post ``notice`` to ``url``."""
        call("POST", f"{self._url}/webhooks", {"notice": notice, "url": url})


def _post(url: str, body: Json) -> None:
    try:
        call("POST", url, body)
    except (ServiceRefused, ServiceUnavailable) as error:
        happenings.emit(WEBHOOK_LOST, url=url, error=str(error))


def _texts(request: Request, *keys: str) -> tuple[str, ...]:
    data = request.json()
    missing = [key for key in keys if not isinstance(data.get(key), str)]
    if missing:
        raise BadMessage(f"the body lacks a text for {', '.join(missing)}")
    return tuple(data[key] for key in keys)
