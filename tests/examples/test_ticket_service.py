"""The ticket service: its API over HTTP, and the webhooks it posts."""

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from examples.rogue_tickets.service import TicketClient, TicketService
from examples.rogue_tickets.tickets import COMMENTED, LABELLED, NEW
from examples.web import Answer, Request, ServiceRefused, ServiceUnavailable, WebServer, call

DEADLINE_S = 10.0


class Subscriber:
    """Takes webhooks."""

    def __init__(self) -> None:
        self.seen: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.headers: dict[str, str] = {}
        self._web = WebServer(self._take)
        self.url, self.start, self.stop = self._web.url, self._web.start, self._web.stop

    def _take(self, request: Request) -> Answer:
        self.headers = request.headers
        self.seen.put(request.json())
        return Answer({})

    def next(self) -> dict[str, Any]:
        return self.seen.get(timeout=DEADLINE_S)


@pytest.fixture
def service() -> Iterator[TicketService]:
    service = TicketService(bound=3)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    subscriber = Subscriber()
    subscriber.start()
    yield subscriber
    subscriber.stop()


@pytest.fixture
def client(service: TicketService) -> TicketClient:
    return TicketClient(service.url)


def open_ticket(service: TicketService) -> str:
    body = {"title": "Late", "body": "It is late.", "customer": "Maria"}
    return str(call("POST", f"{service.url}/tickets", body)["id"])


def test_a_ticket_keeps_its_comments_in_order_and_its_latest_label(
    service: TicketService, client: TicketClient
) -> None:
    ticket = open_ticket(service)
    client.comment(ticket, "helper", "one")
    client.comment(ticket, "helper", "two")
    client.label(ticket, "bot", "answered")
    read = client.read(ticket)
    assert [c["text"] for c in read["comments"]] == ["one", "two"]
    assert (read["title"], read["label"]) == ("Late", "answered")


def test_subscribers_hear_of_new_tickets_comments_and_labels_without_trace_context(
    service: TicketService, client: TicketClient, subscriber: Subscriber
) -> None:
    client.subscribe(COMMENTED, subscriber.url)
    client.subscribe(LABELLED, subscriber.url)
    ticket = open_ticket(service)
    assert subscriber.next() == {"notice": LABELLED, "ticket": ticket, "label": NEW}
    client.comment(ticket, "helper", "done")
    heard = subscriber.next()
    assert (heard["notice"], heard["author"], heard["text"]) == (COMMENTED, "helper", "done")
    client.label(ticket, "bot", "answered")
    assert subscriber.next()["label"] == "answered"
    assert "traceparent" not in subscriber.headers


def test_a_muted_notice_is_not_posted_until_it_is_switched_on_again(
    service: TicketService, client: TicketClient, subscriber: Subscriber
) -> None:
    client.subscribe(COMMENTED, subscriber.url)
    ticket = open_ticket(service)
    service.tickets.mute(COMMENTED)
    client.comment(ticket, "helper", "unheard")
    service.tickets.unmute(COMMENTED)
    client.comment(ticket, "helper", "heard")
    assert subscriber.next()["text"] == "heard"


def test_the_bound_ends_the_notices_of_one_ticket_and_of_no_other(
    service: TicketService, client: TicketClient, subscriber: Subscriber
) -> None:
    client.subscribe(COMMENTED, subscriber.url)
    ticket, other = open_ticket(service), open_ticket(service)
    for text in ("one", "two", "bounded"):
        client.comment(ticket, "helper", text)
    client.comment(other, "helper", "free")
    assert [subscriber.next()["text"] for _ in range(3)] == ["one", "two", "free"]
    assert service.tickets.written(ticket) == 3


def test_a_subscriber_that_is_gone_keeps_nobody_else_from_hearing(
    service: TicketService, client: TicketClient, subscriber: Subscriber
) -> None:
    gone = Subscriber()
    gone.stop()
    for url in (gone.url, subscriber.url):
        client.subscribe(COMMENTED, url)
    client.comment(open_ticket(service), "helper", "still there?")
    assert subscriber.next()["text"] == "still there?"


def test_bad_requests_are_refused_with_a_sentence(service: TicketService, client: TicketClient) -> None:
    with pytest.raises(ServiceRefused, match="no ticket 'TCK-9'") as unknown:
        client.read("TCK-9")
    with pytest.raises(ServiceRefused, match="notice 'rain'"):
        client.subscribe("rain", "http://127.0.0.1:9")
    with pytest.raises(ServiceRefused, match="author, text"):
        call("POST", f"{service.url}/tickets/{open_ticket(service)}/comments", {"author": 7})
    assert unknown.value.status == 404


def test_a_service_that_is_gone_is_told_apart_from_one_that_refuses(service: TicketService) -> None:
    service.stop()
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        TicketClient(service.url).read("TCK-1")
