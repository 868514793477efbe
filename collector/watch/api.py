"""The control API over HTTP: routes, authentication, caps. What is done is done elsewhere.

Calls that touch a disk run on worker threads; only a long poll waits, and it waits on the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from collector.tokens import Principal, Tokens, bearer
from collector.watch import people_bodies
from collector.watch.approving import Approving
from collector.watch.board import BoardView
from collector.watch.body import parse
from collector.watch.callbacks import Callbacks
from collector.watch.desk import Desk
from collector.watch.door import Door
from collector.watch.errands import Errands
from collector.watch.leases import Receipts
from collector.watch.orders import Orders
from collector.watch.pages import Pages
from collector.watch.records import Records
from collector.watch.refusal import BAD_REQUEST, NOT_FOUND, UNAUTHORISED, UNAVAILABLE, Refusal
from collector.watch.sheets import ApprovalSheet, OrderSheet, Sheet
from collector.watch.shown import Shown
from collector.watch.uplink import Uplink
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.control import SECOND, YOU
from fusebox.metrics import TEXT, Gauge, Otel, render

Json = dict[str, Any]
T = TypeVar("T")
MAX_BODY: Final = 1 << 20
_SERVER_ERROR: Final = 500
_NOT_MODIFIED: Final = 304
_PEOPLE: Final = 16
_MAX_PATH: Final = 200

REFUSED: Final = happenings.declare("control_refused", logging.INFO, "a call of the control API was refused")
API_FAILED: Final = happenings.declare("control_failed", logging.ERROR, "a call of the control API broke; answered 500")


class Health(Protocol):
    """What ``/healthz`` and ``/metrics`` show."""

    def failing(self) -> list[str]:
        """What does not work, as sentences; empty when all is well."""

    def samples(self) -> Iterable[Gauge | Otel]:
        """Figures beside the happenings."""


class Api:
    """Starlette routes over handlers.

    Args:
        agents: tokens of agent processes.
        door: where people show theirs.
    """

    def __init__(
        self, agents: Tokens, operators: Tokens, door: Door, uplink: Uplink, orders: Orders, errands: Errands,
        board: BoardView, receipts: Receipts, records: Records, desk: Desk, approving: Approving,
        callbacks: Callbacks, health: Health, clock: Clock,
    ) -> None:  # fmt: skip
        self._agents, self._door, self._uplink, self._orders = agents, door, uplink, orders
        self._errands, self._shown, self._receipts = errands, Shown(board.json, clock), receipts
        self._records, self._desk, self._health = records, desk, health
        self._approving, self._callbacks = approving, callbacks
        # Threads of their own for people: a kill never queues behind what agents report.
        self._people = ThreadPoolExecutor(_PEOPLE, "watch-people")
        sheets: dict[str, Sheet] = {
            "kill": OrderSheet("kill", lambda who, body, _second: orders.kill(who, body.scope, body.reason)),
            "resume": OrderSheet(
                "resume", lambda who, body, second: orders.resume(who, body.scope, body.reason, second)
            ),
            "approval": ApprovalSheet(approving),
        }
        self._pages = Pages(operators, clock, sheets, self._for_people, self._enter)

    def app(self) -> Starlette:
        """The application."""
        told = [
            Route(f"/v1/{kind}", self._from_agent(kind), methods=["POST"])
            for kind in ("snapshot", "receipts", "reports", "denials", "commits", "hold", "standing", "leave")
        ]
        ordered = [
            Route(f"/v1/{order}", self._from_operator(run), methods=["POST"]) for order, run in self._effects().items()
        ]
        return Starlette(
            routes=[
                *told,
                *ordered,
                Route("/v1/resume", self._resume, methods=["POST"]),
                Route("/v1/poll", self._poll, methods=["POST"]),
                Route("/v1/board", self._show_board),
                Route("/v1/alerts", self._show_alerts),
                Route("/v1/approvals", self._show_approvals),
                Route("/v1/approvals/webhook", self._take_callback, methods=["POST"]),
                Route("/v1/approvals/{id}", self._show_approval),
                Route("/v1/receipts/{command}", self._show_receipts),
                Route("/healthz", self._healthz),
                Route("/metrics", self._metrics),
                *self._pages.routes(),
            ],
            exception_handlers={
                Refusal: _refused, HTTPException: _http_refused, ClientDisconnect: _gone, Exception: _failed,
            },
        )  # fmt: skip

    def authenticate_agent(self, token: str | None) -> Principal:
        """Who an agent token belongs to.

        Raises:
            Refusal: 401, nobody.
        """
        principal = self._agents.authenticate(token)
        if principal is None:
            raise Refusal(UNAUTHORISED, "no valid agent token; set FUSEBOX_AGENT_TOKEN or use data_dir/agent.token")
        return principal

    def from_broker(self, kind: str, token: str | None, body: Any) -> Json:
        """One call that came over the broker.

        Raises:
            Refusal: it is not done.
        """
        return self._uplink.handle(kind, self.authenticate_agent(token), body)

    def _effects(self) -> dict[str, Callable[[str, Any], Json]]:
        return {
            "kill": self._kill,
            "trip": lambda who, body: self._single(self._orders.trip, who, body),
            "reset": lambda who, body: self._single(self._orders.reset, who, body),
            "mode": self._set_mode,
            "erase": lambda who, body: self._records.erase(who, parse(people_bodies.EraseBody, body)),
            "verified": lambda who, body: self._records.verified(who, parse(people_bodies.VerifiedBody, body)),
            "reprice": lambda who, body: self._orders.reprice(who, parse(people_bodies.RepriceBody, body)),
            "messages": lambda who, body: self._errands.messages(who, parse(people_bodies.MessagesBody, body)),
            "outcome": lambda who, body: self._errands.outcome(who, parse(people_bodies.OutcomeBody, body)),
            "approvals/answer": lambda who, body: self._approving.answer(who, parse(people_bodies.AnswerBody, body)),
            "alerts/silence": lambda who, body: self._desk.silence(who, parse(people_bodies.SilenceBody, body)),
            "alerts/unsilence": lambda who, body: self._desk.unsilence(who, parse(people_bodies.UnsilenceBody, body)),
            "alerts/ack": lambda who, body: self._desk.acknowledge(who, parse(people_bodies.AckBody, body)),
            "alerts/test": lambda who, body: self._desk.test(who, parse(people_bodies.TestBody, body)),
            "alerts/audit": lambda who, body: self._desk.audit_failed(who, parse(people_bodies.AuditBody, body)),
        }

    def _kill(self, operator: str, data: Any) -> Json:
        body = parse(people_bodies.ScopeBody, data)
        return self._orders.kill(operator, body.scope, body.reason)

    async def _resume(self, request: Request) -> Response:
        operator, second = await self._operator(request), await self._second(request)
        body = parse(people_bodies.ScopeBody, await _body(request))
        order = self._orders.resume
        return JSONResponse(await self._for_people(self._done, order, operator, body.scope, body.reason, second))

    @staticmethod
    def _single(order: Callable[[str, str, str], Json], operator: str, data: Any) -> Json:
        body = parse(people_bodies.AgentBody, data)
        return order(operator, body.agent, body.reason)

    def _set_mode(self, operator: str, data: Any) -> Json:
        body = parse(people_bodies.ModeBody, data)
        return self._orders.mode(operator, body.agent, body.mode, body.reason)

    async def _for_people(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._people, call, *arguments)

    async def _enter(self, token: str | None, request: Request) -> str | None:
        """The operator whose token this is, or None; who came, and who was turned away, is written down."""
        name, address = self._door.open(token), request.client.host if request.client else ""
        if name is None:
            await run_in_threadpool(self._door.turned_away, address, request.url.path[:_MAX_PATH])
        elif self._door.is_news(name, address):
            await self._for_people(self._door.came, name, address)
        return name

    async def _operator(self, request: Request, header: str = "authorization") -> str:
        name = await self._enter(bearer(request.headers.get(header)), request)
        if name is None:
            raise Refusal(UNAUTHORISED, f"no valid operator token in {header}; 'fusebox operators add NAME' makes one")
        return name

    async def _spectator(self, request: Request) -> str:
        """An operator, or a reader: who may see what is shown."""
        reader = self._door.window(bearer(request.headers.get("authorization")))
        return reader if reader is not None else await self._operator(request)

    async def _second(self, request: Request) -> str:
        """The operator who agrees; nobody when the header is left out."""
        return await self._operator(request, SECOND) if SECOND in request.headers else ""

    def _from_agent(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            principal = self.authenticate_agent(bearer(request.headers.get("authorization")))
            return JSONResponse(await run_in_threadpool(self._uplink.handle, kind, principal, await _body(request)))

        return endpoint

    def _from_operator(self, effect: Callable[[str, Any], Json]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            operator, body = await self._operator(request), await _body(request)
            return JSONResponse(await self._for_people(self._done, effect, operator, body))

        return endpoint

    def _done(self, order: Callable[..., Json], *arguments: Any) -> Json:
        """Do what was ordered; the next board shows what came of it."""
        try:
            return order(*arguments)
        finally:
            self._shown.forget()

    async def _poll(self, request: Request) -> Response:
        principal = self.authenticate_agent(bearer(request.headers.get("authorization")))
        body = self._uplink.lease(principal, await _body(request))
        return JSONResponse(await self._uplink.long_poll(body))

    async def _show_board(self, request: Request) -> Response:
        you, known = await self._spectator(request), request.headers.get("if-none-match")
        board = await self._for_people(self._shown.fresh if known is None else self._shown.recent)
        headers = {"etag": board.tag, YOU: you}
        if known == board.tag:
            return Response(status_code=_NOT_MODIFIED, headers=headers)
        return Response(board.to(you), headers=headers, media_type="application/json")

    async def _show_alerts(self, request: Request) -> Response:
        await self._operator(request)
        return JSONResponse(await self._for_people(self._desk.show))

    async def _show_approvals(self, request: Request) -> Response:
        await self._operator(request)
        return JSONResponse(await self._for_people(self._approving.show_all))

    async def _show_approval(self, request: Request) -> Response:
        await self._operator(request)
        return JSONResponse(await self._for_people(self._approving.show, request.path_params["id"]))

    async def _take_callback(self, request: Request) -> Response:
        """No token: its signature says whose word it is."""
        headers = dict(request.headers)
        try:
            raw = await _raw(request)
        except Refusal:
            raw = b""  # too long for an answer, so what its headers sign is none
        try:
            return JSONResponse(await self._for_people(self._callbacks.take, headers, raw))
        except Refusal as refusal:
            if refusal.status == UNAUTHORISED:
                address = request.client.host if request.client else ""
                await run_in_threadpool(self._door.turned_away, address, request.url.path)
            raise

    async def _show_receipts(self, request: Request) -> Response:
        await self._spectator(request)
        return JSONResponse(self._receipts.view(request.path_params["command"]))

    async def _healthz(self, _request: Request) -> Response:
        failing = self._health.failing()
        status = UNAVAILABLE if failing else 200
        return JSONResponse({"ok": not failing, "reason": "; ".join(failing)}, status)

    async def _metrics(self, _request: Request) -> Response:
        return PlainTextResponse(render(self._health.samples()), headers={"content-type": TEXT})


async def _body(request: Request) -> Any:
    """The decoded body.

    Raises:
        Refusal: 400, it is longer than the cap or is not JSON.
    """
    try:
        return json.loads(await _raw(request))
    except (ValueError, RecursionError) as error:
        raise Refusal(BAD_REQUEST, "the body is not JSON") from error


async def _raw(request: Request) -> bytes:
    """
    Raises:
        Refusal: 400, the body is longer than the cap.
    """
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise Refusal(BAD_REQUEST, f"the body is longer than {MAX_BODY} bytes; send fewer rows at once")
    return bytes(raw)


def _says(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    happenings.emit(REFUSED, path=request.url.path, status=error.status, error=str(error))
    return _says(error.status, str(error))


async def _http_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = "there is no such call" if error.status_code == NOT_FOUND else str(error.detail)
    return _says(error.status_code, f"{request.method} {request.url.path}: {what}; see 'Control protocol' in the docs")


async def _gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=BAD_REQUEST)  # nobody reads it


async def _failed(request: Request, error: Exception) -> Response:
    happenings.emit(API_FAILED, path=request.url.path, error=repr(error))
    return _says(_SERVER_ERROR, "watch failed at this call; see its log")
