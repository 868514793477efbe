"""Door: the ASGI application. Finds out who asks and for what, and says no in the shape of the API that was asked.

=======================================  ============================================================
``POST /v1/chat/completions``            OpenAI's chat, ``/v1/responses``, ``/v1/embeddings``
``POST /v1/messages``                    Anthropic's messages, and ``/v1/messages/count_tokens``
``GET /v1/models``                       the models the key allows, in both APIs' shape
``* /tools/{name}/…``                    an internal system
``* /{provider}/…``                      a provider's own API, as it is
``GET /healthz``, ``GET /metrics``       200 while it serves, and counters in Prometheus text
=======================================  ============================================================
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

from fusebox import guard, happenings
from fusebox.metrics import TEXT
from fusebox.records import Action, ActionKind
from gateway.denied import Denied, no_key
from gateway.dialects import Chat, Dialect, Embeddings, Messages, Plain, Responses, TokenCount
from gateway.http import GONE, JSON, WIRE, ClientLeft, Receive, Reply, Request, Scope, Send, credential
from gateway.keys import Identity, Keys
from gateway.limits import GUARD as QUOTA
from gateway.models import ModelCalls
from gateway.routes import Routes
from gateway.screen import Ruled
from gateway.tool_request import below
from gateway.tools import Tools
from gateway.unserved import unserved

_DIALECTS: Final[Mapping[str, Dialect]] = {
    "/v1/chat/completions": Chat(),
    "/v1/responses": Responses(),
    "/v1/embeddings": Embeddings(),
    "/v1/messages": Messages(),
    "/v1/messages/count_tokens": TokenCount(),
}
_PLAIN: Final = Plain()
KEY: Final = "key"
"""The guard that says no where a virtual key does not reach."""
_MODELS: Final = "/v1/models"
_VERSION: Final = "anthropic-version"
"""The header by which a client of Anthropic's is known."""

_RULED: Final[Mapping[str, str]] = {
    "model_not_allowed": KEY, "tool_not_allowed": KEY, "method_not_allowed": KEY,
    "model_unpriced": QUOTA, "cost_unbounded": QUOTA, "rate_limit_exceeded": QUOTA, "insufficient_quota": QUOTA,
}  # fmt: skip
"""Refusals that are audited here, with the guard they come from; other guards have had theirs audited themselves."""

REFUSED: Final = happenings.declare("gateway_refused", logging.INFO, "a request was not served; its agent was told why")
FAILED: Final = happenings.declare("gateway_failed", logging.ERROR, "a request broke the gateway; answered 500")


@dataclass(frozen=True, slots=True)
class Metrics:
    """``/metrics``: its text, and whether anybody may read it, as where only this machine can."""

    text: Callable[[], str]
    anybody: bool


class Door:
    """Routes requests. One instance serves one event loop.

    Args:
        ruled: told of refusals, for the audit log.
        end: called on that loop when there will be no more requests.
    """

    def __init__(
        self, keys: Keys, routes: Routes, models: ModelCalls, tools: Tools, ruled: Ruled, metrics: Metrics,
        end: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._keys, self._routes, self._models, self._tools, self._ruled = keys, routes, models, tools, ruled
        self._metrics, self._end = metrics, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._end()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire = scope.get(WIRE)
        request, reply = Request(scope, receive), Reply(send, wire.gathering if wire is not None else None)
        dialect = self._dialect(request)
        try:
            await self._route(request, reply, dialect)
        except Denied as denied:
            self._audit(request, denied, ActionKind.TOOL_CALL if dialect is _PLAIN else ActionKind.MODEL_CALL)
            await _refuse(dialect, denied, request, reply)
        except ClientLeft:
            return
        except asyncio.CancelledError:
            if not request.left:
                raise
        except Exception as error:  # one sentence for the agent, the rest for the log
            happenings.emit(FAILED, path=_place(request), error=repr(error))
            sentence = "the gateway failed at this request; its log says why"
            await _refuse(dialect, Denied(HTTPStatus.INTERNAL_SERVER_ERROR, "gateway_failed", sentence), request, reply)
        finally:
            scope.pop(GONE, None)  # else request and scope hold each other, and wait for the collector of garbage

    def _audit(self, request: Request, denied: Denied, kind: ActionKind) -> None:
        name = _RULED.get(denied.code)
        if name is not None and request.agent:
            self._ruled(Action(kind, request.agent, _place(request)), guard.deny(name, denied.message), 1)

    def _dialect(self, request: Request) -> Dialect:
        path = request.path
        known = _DIALECTS.get(path)
        if known is not None:
            return known
        if path.startswith("/v1/"):  # served to both, or refused in the shape of its API
            return Messages() if path.startswith("/v1/messages/") or _VERSION in request.headers else Chat()
        return self._passed_dialect(path)

    def _passed_dialect(self, path: str) -> Dialect:
        """Of ``/{provider}/…``: the one whose path the rest ends with, if the provider speaks it."""
        name, _, rest = path[1:].partition("/")
        adapter = self._routes.providers.get(name)
        if adapter is None:
            return _PLAIN
        asked = "/" + "/".join(filter(None, rest.lower().split("/")))  # servers forgive slashes, and some case
        fits = (d for p, d in _DIALECTS.items() if asked.endswith(p.removeprefix("/v1")))
        return next((d for d in fits if d.wire is adapter.wire), _PLAIN)

    async def _route(self, request: Request, reply: Reply, dialect: Dialect) -> None:
        path = request.path
        if path == "/healthz":
            await reply.whole(HTTPStatus.OK, [JSON], b'{"ok":true}')
        elif path == "/metrics":
            if not self._metrics.anybody:
                self._identify(request)
            await reply.whole(HTTPStatus.OK, [(b"content-type", TEXT.encode())], self._metrics.text().encode())
        elif path in _DIALECTS:
            _only("POST", request)
            await self._models.serve(self._identify(request), dialect, request, reply)
        elif path == _MODELS or path.startswith(f"{_MODELS}/"):
            _only("GET", request)
            await self._list(self._identify(request), path.removeprefix(_MODELS).lstrip("/"), reply)
        else:
            await self._route_named(self._identify(request), request, reply, dialect)

    async def _route_named(self, identity: Identity, request: Request, reply: Reply, dialect: Dialect) -> None:
        """Paths that begin with a name out of the settings."""
        first, _, rest = request.path[1:].partition("/")
        if first == "tools":
            name, _, rest = rest.partition("/")
            await self._tools.serve(identity, name, rest, request, reply)
        elif first in self._routes.providers and dialect is not _PLAIN:
            _only("POST", request)
            await self._models.serve_passed(identity, dialect, first, below(rest), request, reply)
        elif first in self._routes.providers:
            await self._tools.serve_provider(identity, first, rest, request, reply)
        else:
            speaks = (name for name, adapter in self._routes.providers.items() if adapter.wire is dialect.wire)
            raise unserved(request.method, request.path, (*_DIALECTS, _MODELS), next(speaks, ""))

    def _identify(self, request: Request) -> Identity:
        """
        Raises:
            Denied: 401.
        """
        key, peer = credential(request.headers), request.peer
        by_key = self._keys.authenticate(key) if key else None
        by_peer = self._keys.authenticate_certificate(peer) if peer else None
        identity = by_key or by_peer  # client libraries insist on sending some key
        if identity is None or (by_peer is not None and by_peer.agent != identity.agent):
            raise no_key()
        request.agent = identity.agent
        return identity

    async def _list(self, identity: Identity, wanted: str, reply: Reply) -> None:
        models = [_listed(name) for name in await self._models.listed(identity)]
        if not wanted:
            ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {}
            told: dict[str, Any] = {"object": "list", "data": models, "has_more": False, **ends}
            await reply.whole(HTTPStatus.OK, [JSON], orjson.dumps(told))
            return
        found = next((model for model in models if model["id"] == wanted), None)
        if found is None:
            raise Denied(
                HTTPStatus.NOT_FOUND, "model_not_found", f"the model {wanted[:200]!r} is not served to this key"
            )
        await reply.whole(HTTPStatus.OK, [JSON], orjson.dumps(found))


def _listed(name: str) -> dict[str, Any]:
    """A model as both APIs list it."""
    return {
        "id": name, "object": "model", "created": 0, "owned_by": "fusebox",
        "type": "model", "display_name": name, "created_at": "1970-01-01T00:00:00Z",
    }  # fmt: skip


def _place(request: Request) -> str:
    """The part of a path that settings name; what follows may hold what no log should."""
    return request.path if request.path in _DIALECTS else "/".join(request.path.split("/")[:3])[:200]


def _only(method: str, request: Request) -> None:
    """
    Raises:
        Denied: 405.
    """
    if request.method != method:
        raise Denied(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", f"send {method} to {request.path}")


async def _refuse(dialect: Dialect, denied: Denied, request: Request, reply: Reply) -> None:
    happenings.emit(REFUSED, path=_place(request), status=denied.status, code=denied.code)
    if reply.events and not reply.ended:
        await reply.end(dialect.error_event(denied))
    elif not reply.status:
        await _say_no(dialect, denied, request, reply)
    # else half an answer of another kind: the connection breaks, so that nobody takes it for a whole one


async def _say_no(dialect: Dialect, denied: Denied, request: Request, reply: Reply) -> None:
    headers = [JSON, *denied.headers, *denied.advice()]
    await reply.whole(denied.status, headers, denied.words or orjson.dumps(dialect.error(denied)))
    await request.discard()
