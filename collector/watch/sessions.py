"""Operators who are logged in at the confirmation pages: in memory, for an hour, as long as their token is good."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.tokens import Tokens
from fusebox.clock import Clock

SESSION_S: Final = 3600.0
COOKIE: Final = "fusebox_operator"
_MAX_SESSIONS: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Session:
    token: str
    word: str
    until: float


class Sessions:
    """Who is logged in; thread-safe."""

    def __init__(self, operators: Tokens, clock: Clock) -> None:
        self._operators, self._clock = operators, clock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, token: str) -> str | None:
        """Log in; the cookie, or None for a token that is nobody's."""
        if self._operators.authenticate(token) is None:
            return None
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[key] = _Session(token, secrets.token_urlsafe(32), self._clock.monotonic() + SESSION_S)
            while len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return key

    def of(self, cookies: Mapping[str, str]) -> tuple[str, str] | None:
        """The operator's name and the session's word."""
        with self._lock:
            session = self._sessions.get(cookies.get(COOKIE, ""))
        if session is None or session.until < self._clock.monotonic():
            return None
        principal = self._operators.authenticate(session.token)
        return (principal.name, session.word) if principal else None
