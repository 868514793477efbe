"""Internal systems as tools: ``/tools/{name}/…``, and paths of providers that are no inference: ``/{provider}/…``.

The credentials of these systems live here and nowhere else; agents have a virtual key. A call is admitted by the same
guards as a model call and is an ``execute_tool`` span in the caller's trace. Nothing is tried again: only the caller
knows what may be done twice. What a provider's path uses is counted as one request: a key must allow the provider as a
tool, and its settings the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import aiohttp
import orjson
from opentelemetry.trace import SpanContext

from fusebox import names
from fusebox.clock import Clock
from fusebox.eventmap import Value
from fusebox.records import Action, ActionKind, Verdict
from gateway.approving import approval_in
from gateway.breaker import Circuit
from gateway.call import caller_of, named, workflow_of
from gateway.denied import bad_request
from gateway.dialects import Ask, Plain
from gateway.http import Reply, Request, safe
from gateway.keys import Identity
from gateway.ledger import Entry, Subject
from gateway.means import Means
from gateway.meter import Meter
from gateway.providers.base import PASSED_ON, Adapter, Outgoing
from gateway.screen import Screen
from gateway.settings import CircuitSection, Tool, Upstream
from gateway.systems import System, allowed, of_provider, of_tool, require_model
from gateway.upstream import Failed, body_of, kept
from governance.approvals.request import text_of
from rabbitmq import tracing

_PASSED_ON: Final = ("accept", "content-type", "idempotency-key", "if-match", "if-none-match", *PASSED_ON)
_AGREED_TO: Final = ("content-type", "if-match", "if-none-match", *PASSED_ON)
"""Of these, the ones that change what a body means or whether it counts: people agree to them, too."""
_PASSED_BACK: Final = ("content-type", "etag", "location", "last-modified")
_MAX_ASKED: Final = 65_536
AGENT: Final = "x-fusebox-agent"
"""Header by which a system is told who acts; what a client sends under this name never reaches it."""


class Tools:
    """Serves ``/tools/{name}/…`` and, for providers that allow it, ``/{provider}/…``.

    Raises:
        ConfigError: a credential is missing.
    """

    def __init__(
        self, tools: Mapping[str, Tool], providers: Mapping[str, Adapter], circuit: CircuitSection, clock: Clock,
        means: Means,
    ) -> None:  # fmt: skip
        self._means = means
        self._tools = {
            name: of_tool(name, tool, Circuit(f"tools/{name}", circuit, clock)) for name, tool in tools.items()
        }
        self._providers = {
            name: of_provider(name, adapter, Circuit(f"{name}/*", circuit, clock))
            for name, adapter in providers.items() if adapter.settings.passthrough
        }  # fmt: skip

    def circuits(self) -> list[Circuit]:
        """Of every system."""
        return [system.circuit for system in (*self._tools.values(), *self._providers.values())]

    async def serve(self, identity: Identity, name: str, rest: str, request: Request, reply: Reply) -> None:
        """One request for an internal system.

        Raises:
            Denied: why it is not served.
        """
        system = allowed(self._tools, identity, name, request.method)
        await self._serve(identity, system, rest, await request.body(self._means.max_body), request, reply)

    async def serve_provider(self, identity: Identity, name: str, rest: str, request: Request, reply: Reply) -> None:
        """One request for a path of a provider that is no inference.

        Raises:
            Denied: why it is not served.
        """
        system = allowed(self._providers, identity, name, request.method)
        body = await request.body(self._means.max_body)
        told = _value(body)
        if body and not isinstance(told, dict) and "json" in request.headers.get("content-type", "json").lower():
            raise bad_request("the body says that it is JSON, and is no JSON object")
        asked = told.get("model") if isinstance(told, dict) else None
        for model in (asked, system.model_in(rest) or None):
            if model is not None:
                require_model(identity, str(model))
        await self._serve(identity, system, rest, body, request, reply)

    async def _serve(
        self, identity: Identity, system: System, rest: str, body: bytes, request: Request, reply: Reply
    ) -> None:
        path = below(rest)
        await self._means.seats.take(identity.agent)
        caller = caller_of(request)
        action = Action(
            ActionKind.TOOL_CALL, identity.agent, system.name, f"{request.method} /{rest}", identity.tenant,
            workflow_of(request), f"{caller.trace_id:032x}" if caller.is_valid else "",
            arguments={"query": _asked(request.query), "body": _value(body) if body else None},
        )  # fmt: skip
        asked = f"{request.method} /{rest}?{request.query} {body[:_MAX_ASKED].decode('utf-8', 'replace')}"
        subject = _subject(action, identity, caller, asked)
        with self._means.flights.flying(action):
            async with (
                self._means.admission.entered(action) as held,
                self._means.quota.for_tool(identity, action, reply),
            ):
                screen, query = self._means.screens.open(request.path, action), request.query
                if screen is not None:
                    query, body = _screened(screen, system.name, rest, query, body)
                headers = {n: request.headers[n] for n in _PASSED_ON if n in request.headers}
                if held is not None:
                    shown = {"method": request.method, "path": f"/{rest}", "query": query, "body": text_of(body)}
                    shown["headers"] = {n: headers[n] for n in _AGREED_TO if n in headers}
                    await self._agreed(action, held, shown, system, approval_in(request))
                headers[AGENT] = identity.agent
                outgoing = system.outgoing(request.method, path, query, body, headers)
                await self._attempt(system, subject, outgoing, reply, screen)

    async def _agreed(
        self, action: Action, held: Verdict, shown: Mapping[str, object], system: System, named: str
    ) -> None:
        """
        Raises:
            Denied: people have not agreed to it, or a guard says no by now.
        """
        await self._means.approving.require(action, held, lambda: shown, f"tool at {system.settings.url}", named)
        await self._means.admission.again(action)

    async def _attempt(
        self, system: System, subject: Subject, outgoing: Outgoing, reply: Reply, screen: Screen | None
    ) -> None:
        """
        Raises:
            Denied: the system cannot be asked, or did not answer.
        """
        circuit = system.circuit
        probe = circuit.admit()
        entry = self._means.ledger.open(subject, Plain().meter(Ask("", False, {}, outgoing.body)), 1)
        try:
            broken = await self._exchange(system.settings, _traced(outgoing, entry), entry.meter, reply, screen)
        except Failed as failed:
            (circuit.bad if failed.fault else circuit.undecided)(probe=probe)
            entry.close(failed.denied.code, cut=bool(reply.status), found=_found(screen))
            raise failed.denied from None
        except BaseException as error:
            circuit.undecided(probe=probe)
            entry.close(named(error), cut=True, found=_found(screen))
            raise
        finally:
            if screen is not None:
                screen.close()
        (circuit.bad if broken else circuit.good)(probe=probe)
        entry.close(f"http_{reply.status}" if reply.status >= HTTPStatus.BAD_REQUEST else "", found=_found(screen))

    async def _exchange(
        self, limits: Upstream, outgoing: Outgoing, meter: Meter, reply: Reply, screen: Screen | None
    ) -> bool:
        """Relay the answer; True when it says that the system is broken."""
        async with self._means.upstream.send(outgoing, limits) as response:
            if screen is not None and _is_text(response):
                await _show(response, meter, reply, screen)
            else:
                await pipe(response, meter, reply)
            return response.status >= HTTPStatus.INTERNAL_SERVER_ERROR


async def pipe(response: aiohttp.ClientResponse, meter: Meter, reply: Reply) -> None:
    """Relay an answer of whatever kind, piece by piece."""
    told = response.headers
    headers = [header for name in _PASSED_BACK if name in told for header in safe(name, told[name])]
    if response.content_length is not None:
        headers.append((b"content-length", b"%d" % response.content_length))
    await reply.start(response.status, [*headers, *kept(response)])
    async for chunk in response.content.iter_any():
        await reply.chunk(chunk)
        meter.take_text(chunk)
    await reply.end()


async def _show(response: aiohttp.ClientResponse, meter: Meter, reply: Reply, screen: Screen) -> None:
    """Relay an answer that has to be read first.

    Raises:
        Denied: 403, a guard said no.
    """
    body, told = await body_of(response), response.headers
    meter.take_text(body)
    value = screen.result(_value(body))
    shown = value.encode() if isinstance(value, str) else orjson.dumps(value)
    headers = [header for name in _PASSED_BACK if name in told for header in safe(name, told[name])]
    await reply.whole(response.status, [*headers, *kept(response)], shown)


def _screened(screen: Screen, tool: str, rest: str, query: str, body: bytes) -> tuple[str, bytes]:
    """Query and body as they may go on.

    Raises:
        Denied: 403, a guard said no.
    """
    pairs = [list(pair) for pair in parse_qsl(query, keep_blank_values=True)]
    told = screen.arguments(tool, {"path": rest, "query": pairs, "body": _value(body)})
    if told["path"] != rest:
        raise bad_request("the path holds what may not leave; put it into the body, where it can be masked")
    shown = told["body"]
    return urlencode(told["query"]), shown.encode() if isinstance(shown, str) else orjson.dumps(shown)


def _value(body: bytes) -> Any:
    """JSON, or else the text."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def _asked(query: str) -> dict[str, str | list[str]]:
    """The query's values; a list where a name is given more than once, since systems differ on which one counts."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _is_text(response: aiohttp.ClientResponse) -> bool:
    kind = response.content_type
    return kind.startswith("text/") or kind.endswith(("json", "xml", "yaml"))


def _found(screen: Screen | None) -> dict[str, int]:
    return screen.counts if screen is not None else {}


def below(rest: str) -> str:
    """A path that stays below the address it is put behind, also for servers that drop ``;parameters`` of its parts.

    Raises:
        Denied: 400, it tries not to.
    """
    parts = rest.split("/")
    if any(part.partition(";")[0] in (".", "..") for part in parts) or "\\" in rest or not rest.isprintable():
        raise bad_request("the path may not hold '.', '..', backslashes or control characters")
    return quote(rest, safe="/:@!$&'()*+,;=~")


def _traced(outgoing: Outgoing, entry: Entry) -> Outgoing:
    trace = {name: str(value) for name, value in tracing.headers_of(entry.context).items()}
    return Outgoing(outgoing.method, outgoing.url, {**outgoing.headers, **trace}, outgoing.body)


def _subject(action: Action, identity: Identity, caller: SpanContext, asked: str) -> Subject:
    name = action.operation
    attributes: dict[str, Value] = {names.GEN_AI_OPERATION: "execute_tool", names.GEN_AI_TOOL_NAME: name}
    return Subject(action, identity.team, caller, f"execute_tool {name}", asked, attributes)
