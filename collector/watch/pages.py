"""Confirmation pages: where the buttons of an alert lead.

::

    GET  /confirm/kill?scope=agent:bot ──► no session: the form that asks for the operator's token
                                       ──► a session:  what will happen, a reason, "Kill" or "Resume"
    POST /login                        ──► a session (cookie), back to the page
    POST /confirm/kill                 ──► the order, under the operator's name
    GET, POST /confirm/approval?scope=apr_… likewise: all of the action that waits, "Approve" or "Deny"

A GET changes nothing, so a program that looks at links beforehand does no harm. A POST needs the session's cookie,
which no other site's form carries (SameSite), and the session's own word in the form. Addresses are relative: a proxy
may serve all of it under a path of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from collector.tokens import Tokens
from collector.watch.markup import HEADERS, hidden, page, said
from collector.watch.refusal import BAD_REQUEST, FORBIDDEN, NOT_FOUND, UNAUTHORISED, Refusal
from collector.watch.sessions import COOKIE, SESSION_S, Sessions
from collector.watch.sheets import Sheet
from fusebox.clock import Clock

_MAX_FORM: Final = 16_384
_SEE_OTHER: Final = 303
Enter = Callable[[str | None, Request], Awaitable[str | None]]
"""The operator whose token it is, or None."""


class Pages:
    """Routes of the pages.

    Args:
        sheets: what can be confirmed, by the word that stands in the address.
        run: runs a call on a thread for people.
        enter: tells whose token it is, and writes down who came.
    """

    def __init__(
        self, operators: Tokens, clock: Clock, sheets: Mapping[str, Sheet], run: Callable[..., Any], enter: Enter
    ) -> None:
        self._sessions, self._sheets, self._run, self._enter = Sessions(operators, clock), sheets, run, enter

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/confirm/{order}", self._ask, methods=["GET"]),
            Route("/confirm/{order}", self._confirm, methods=["POST"]),
            Route("/login", self._login, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        order, scope = self._order(request), request.query_params.get("scope", "")
        session = self._sessions.of(request.cookies)
        if session is None:
            return _login_page(order, scope)
        asked: Response = await self._run(self._sheets[order].ask, scope, *session)
        return asked

    async def _login(self, request: Request) -> Response:
        form = await _form(request)
        order, scope = form.get("order", ""), form.get("scope", "")
        if order not in self._sheets:
            raise Refusal(NOT_FOUND, f"there is nothing to confirm as {order!r}")
        token = form.get("token", "").strip()
        key = self._sessions.open(token) if await self._enter(token, request) else None
        if key is None:
            complaint = "That is no operator's token. 'fusebox operators add NAME' makes one."
            return _login_page(order, scope, complaint, again="login")
        back = RedirectResponse(f"confirm/{order}?scope={quote(scope, safe='')}", _SEE_OTHER, headers=HEADERS)
        secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        back.set_cookie(COOKIE, key, max_age=int(SESSION_S), secure=secure, httponly=True, samesite="lax")
        return back

    async def _confirm(self, request: Request) -> Response:
        order, form = self._order(request), await _form(request)
        scope, session = form.get("scope", ""), self._sessions.of(request.cookies)
        if session is None:
            return _login_page(order, scope, "Your session is over; log in again.")
        operator, word = session
        if not secrets.compare_digest(form.get("word", "").encode(), word.encode()):
            raise Refusal(FORBIDDEN, "this form is not of your session; open the page again")
        sheet = self._sheets[order]
        try:
            done: Response = await self._run(sheet.take, scope, operator, form, await self._second(form, request))
        except Refusal as refusal:
            done = await self._run(sheet.ask, scope, operator, word, str(refusal), refusal.status)
        return done

    async def _second(self, form: dict[str, str], request: Request) -> str:
        """The operator who agrees; nobody when the field is empty."""
        token = form.get("second", "").strip()
        name = await self._enter(token, request) if token else ""
        if name is None:
            raise Refusal(UNAUTHORISED, "the second token is no operator's")
        return name

    def _order(self, request: Request) -> str:
        order = str(request.path_params["order"])
        if order not in self._sheets:
            raise Refusal(NOT_FOUND, f"there is nothing to confirm as {order!r}; there are {', '.join(self._sheets)}")
        return order


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form.

    Raises:
        Refusal: 400, it is longer than the cap or is no form.
    """
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MAX_FORM:
            raise Refusal(BAD_REQUEST, "the form is too long")
    try:
        fields = parse_qs(raw.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise Refusal(BAD_REQUEST, "that is no form") from error
    return {name: values[0] for name, values in fields.items()}


def _login_page(order: str, scope: str, complaint: str = "", *, again: str = "../login") -> Response:
    return page(
        f"{order.title()}: log in",
        f"{said(complaint)}<form method=post action={again}>{hidden('order', order)}{hidden('scope', scope)}"
        "<label for=token>Your operator token</label>"
        "<input id=token name=token type=password autocomplete=current-password required autofocus>"
        "<button>Log in</button></form>",
        UNAUTHORISED if complaint else 200,
    )
