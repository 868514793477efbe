"""A small ticket service: tickets, comments, labels, and notices to whoever subscribed.

It knows nothing of Fusebox, of the bus or of traces. Like many real ones it sends a notice for every comment and every
label, whoever wrote it, an automation included: that is how two automations can find each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from threading import RLock
from typing import Any, Final, Protocol

Json = dict[str, Any]
Notify = Callable[[str, Json], None]

COMMENTED: Final = "comment.created"
LABELLED: Final = "label.changed"
NEW: Final = "new"
NOTICES: Final = (COMMENTED, LABELLED)


class NoSuchTicket(LookupError):
    """There is no ticket with this id."""


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment on a ticket."""

    id: int
    author: str
    text: str


@dataclass(slots=True)
class Ticket:
    """A customer's ticket; its label is the latest one."""

    id: str
    title: str
    body: str
    customer: str
    label: str = NEW
    comments: list[Comment] = field(default_factory=list)


class TicketApi(Protocol):
    """What an agent's tools use; the service itself and its HTTP client both offer it."""

    def read(self, ticket: str) -> Json:
        """The whole ticket, comments oldest first."""

    def comment(self, ticket: str, author: str, text: str) -> Json:
        """Write a comment; returns its id."""

    def label(self, ticket: str, author: str, label: str) -> Json:
        """Set the label; returns the ticket as it is now."""


class Tickets:
    """All tickets, in memory; thread-safe.

    Args:
        notify: called with (notice, data) after every change; must return at once.
        bound: a ticket with this many comments sends no more notices, so that an unprotected loop ends.
        first: number of the first ticket; they count up from it.
    """

    def __init__(self, notify: Notify, *, bound: int = 200, first: int = 1000) -> None:
        self._notify = notify
        self._bound = bound
        self._first = first
        self._tickets: dict[str, Ticket] = {}
        self._muted: set[str] = set()
        self._changes = 0
        self._lock = RLock()

    def open(self, title: str, body: str, customer: str) -> str:
        """A customer writes a ticket; returns its id."""
        with self._lock:
            ticket = Ticket(f"TCK-{self._first + len(self._tickets)}", title, body, customer)
            self._tickets[ticket.id] = ticket
            self._tell(LABELLED, ticket, label=NEW)
        return ticket.id

    def read(self, ticket: str) -> Json:
        with self._lock:
            return asdict(self._find(ticket))

    def comment(self, ticket: str, author: str, text: str) -> Json:
        with self._lock:
            found = self._find(ticket)
            comment = Comment(self._next(), author, text)
            found.comments.append(comment)
            self._tell(COMMENTED, found, **asdict(comment))
        return {"comment": comment.id, "ticket": ticket, "status": "created"}

    def label(self, ticket: str, author: str, label: str) -> Json:
        with self._lock:
            found = self._find(ticket)
            found.label = label
            self._tell(LABELLED, found, label=label, author=author)
            return asdict(found)

    def written(self, ticket: str = "") -> int:
        """How many comments the ticket has, or all tickets have."""
        with self._lock:
            found = [self._find(ticket)] if ticket else self._tickets.values()
            return sum(len(each.comments) for each in found)

    def mute(self, notice: str) -> None:
        """An administrator switches one kind of notice off."""
        self._muted.add(notice)

    def unmute(self, notice: str) -> None:
        """…and on again."""
        self._muted.discard(notice)

    def _tell(self, notice: str, ticket: Ticket, **data: object) -> None:
        if notice not in self._muted and len(ticket.comments) < self._bound:
            self._notify(notice, {"ticket": ticket.id, **data})

    def _find(self, ticket: str) -> Ticket:
        if ticket not in self._tickets:
            raise NoSuchTicket(f"there is no ticket {ticket!r}")
        return self._tickets[ticket]

    def _next(self) -> int:
        self._changes += 1
        return self._changes
