"""Confirmation pages: where the buttons of an alert lead.

::

    GET  /confirm/kill?scope=agent:bot ──► no session: the form that asks for the operator's token
                                       ──► a session:  what will happen, a reason, "Kill" or "Resume"
    POST /login                        ──► a session (cookie), back to the page
    POST /confirm/kill                 ──► the order, under the operator's name

A GET changes nothing, so a program that looks at links beforehand does no harm. A POST needs the session's cookie,
which no other site's form carries (SameSite), and the session's own word in the form. Pages hold no script, are stored
nowhere and framed by nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any, Final
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from collector.tokens import Tokens
from collector.watch import bodies
from collector.watch.refusal import BAD_REQUEST, FORBIDDEN, NOT_FOUND, UNAUTHORISED, Refusal
from collector.watch.sessions import COOKIE, SESSION_S, Sessions
from fusebox.clock import Clock

_MAX_FORM: Final = 16_384
_SEE_OTHER: Final = 303
_EFFECTS: Final = {
    "kill": "Nothing more goes out: messages, model calls and tool calls are refused at once, until somebody resumes.",
    "resume": "Its kills are lifted and its circuit lets one probe through; held messages follow when that goes well.",
}
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}"
    "label{display:block;margin:1rem 0 .3rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.4rem}"
    "button{font:inherit;margin-top:1rem;padding:.5rem 1.5rem}code{overflow-wrap:anywhere}"
)

Json = dict[str, Any]
Perform = Callable[[str, bodies.ScopeBody, str], Json]
"""``perform(operator, body, second operator)``; raises :class:`Refusal`."""
Enter = Callable[[str | None, Request], Awaitable[str | None]]
"""The operator whose token it is, or None."""


class Pages:
    """Routes of the pages.

    Args:
        perform: what carries out each order.
        run: runs a call on a thread for people.
        enter: tells whose token it is, and writes down who came.
    """

    def __init__(
        self, operators: Tokens, clock: Clock, perform: dict[str, Perform], run: Callable[..., Any], enter: Enter
    ) -> None:
        self._sessions, self._perform, self._run, self._enter = Sessions(operators, clock), perform, run, enter

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
        return _login_page(order, scope) if session is None else _confirm_page(order, scope, *session)

    async def _login(self, request: Request) -> Response:
        form = await _form(request)
        order, scope = form.get("order", ""), form.get("scope", "")
        if order not in self._perform:
            raise Refusal(NOT_FOUND, f"there is no order {order!r}")
        token = form.get("token", "").strip()
        key = self._sessions.open(token) if await self._enter(token, request) else None
        if key is None:
            return _login_page(order, scope, "That is no operator's token. 'fusebox operators add NAME' makes one.")
        back = RedirectResponse(f"/confirm/{order}?scope={quote(scope, safe='')}", _SEE_OTHER, headers=_HEADERS)
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
        try:
            body = bodies.parse(bodies.ScopeBody, {"scope": scope, "reason": form.get("reason", "")})
            answer = await self._run(self._perform[order], operator, body, await self._second(form, request))
        except Refusal as refusal:
            return _confirm_page(order, scope, operator, word, str(refusal), refusal.status)
        return _done_page(order, scope, answer)

    async def _second(self, form: dict[str, str], request: Request) -> str:
        """The operator who agrees; nobody when the field is empty."""
        token = form.get("second", "").strip()
        name = await self._enter(token, request) if token else ""
        if name is None:
            raise Refusal(UNAUTHORISED, "the second token is no operator's")
        return name

    def _order(self, request: Request) -> str:
        order = str(request.path_params["order"])
        if order not in self._perform:
            raise Refusal(NOT_FOUND, f"there is no order {order!r}; there are {', '.join(self._perform)}")
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


def _login_page(order: str, scope: str, complaint: str = "") -> Response:
    return _page(
        f"{order.title()}: log in",
        f"{_said(complaint)}<form method=post action=/login>{_hidden('order', order)}{_hidden('scope', scope)}"
        "<label for=token>Your operator token</label>"
        "<input id=token name=token type=password autocomplete=current-password required autofocus>"
        "<button>Log in</button></form>",
        UNAUTHORISED if complaint else 200,
    )


def _confirm_page(
    order: str, scope: str, operator: str, word: str, complaint: str = "", status: int = 200
) -> Response:  # fmt: skip
    second = (
        "<label for=second>Token of a second operator (for high-risk agents)</label>"
        "<input id=second name=second type=password autocomplete=off>"
        if order == "resume"
        else ""
    )
    return _page(
        f"{order.title()} {scope}?",
        f"{_said(complaint)}<p>{_EFFECTS[order]}</p><form method=post action=/confirm/{order}>"
        f"{_hidden('scope', scope)}{_hidden('word', word)}<label for=reason>Reason, recorded with your name "
        f"({escape(operator)})</label><input id=reason name=reason maxlength=500 required autofocus>{second}"
        f"<button>{order.title()}</button></form>",
        status,
    )


def _done_page(order: str, scope: str, answer: Json) -> Response:
    expected = len(answer["expected"])
    return _page(
        f"{order.title()} ordered",
        f"<p><code>{escape(scope)}</code>: {expected} processes are to confirm it. 'fusebox status' and the board show "
        f"how it stands.</p><p>Command <code>{escape(str(answer['command']))}</code></p>",
    )


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{body}</html>",
        status,
        headers=_HEADERS,
    )


def _said(complaint: str) -> str:
    return f"<p role=alert><strong>{escape(complaint)}</strong></p>" if complaint else ""


def _hidden(name: str, value: str) -> str:
    return f'<input type=hidden name="{name}" value="{escape(value)}">'
