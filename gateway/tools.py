"""Internal systems as tools: ``/tools/{name}/…``, and paths of providers that are no inference: ``/{provider}/…``.

The credentials of these systems live here and nowhere else; agents have a virtual key. A call is admitted by the same
guards as a model call and is an ``execute_tool`` span in the caller's trace. Nothing is tried again: only the caller
knows what may be done twice. What a provider's path uses is counted as one request: a key must allow the provider as a
tool, and its settings the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from opentelemetry.trace import SpanContext

from fusebox import names
from fusebox.clock import Clock
from fusebox.eventmap import Value
from fusebox.records import Action, ActionKind, Verdict
from gateway.approving import approval_in
from gateway.aside import aside
from gateway.breaker import Circuit
from gateway.call import caller_of, workflow_of
from gateway.denied import Denied, bad_request, named
from gateway.dialects import Ask, Plain
from gateway.hold import Toll
from gateway.http import Reply, Request
from gateway.keys import Identity
from gateway.ledger import Entry, Subject
from gateway.means import Means
from gateway.providers.base import PASSED_ON, Adapter, Outgoing
from gateway.screen import Screen
from gateway.settings import CircuitSection
from gateway.systems import System, allowed, of_provider, of_tool, require_models
from gateway.tool_answer import relay
from gateway.tool_request import below, query_of, screened, value_of
from gateway.upstream import Failed
from gateway.upstream_settings import Tool
from gateway.veil import Veil
from governance.approvals.request import text_of
from rabbitmq import tracing

_PASSED_ON: Final = ("accept", "content-type", "idempotency-key", "if-match", "if-none-match", *PASSED_ON)
_AGREED_TO: Final = ("content-type", "if-match", "if-none-match", *PASSED_ON)
"""Of these, the ones that change what a body means or whether it counts: people agree to them, too."""
_MAX_ASKED: Final = 65_536
AGENT: Final = "x-fusebox-agent"
"""Header by which a system is told who acts; what a client sends under this name never reaches it."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """One call of a system, admitted."""

    system: System
    subject: Subject
    reply: Reply
    toll: Toll
    screen: Screen | None

    @property
    def found(self) -> dict[str, int]:
        return self.screen.counts if self.screen is not None else {}


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
        body = await request.body(self._means.max_body)
        await self._serve(identity, system, rest, body, value_of(request, body), request, reply)

    async def serve_provider(self, identity: Identity, name: str, rest: str, request: Request, reply: Reply) -> None:
        """One request for a path of a provider that is no inference.

        Raises:
            Denied: why it is not served.
        """
        if name not in self._providers:
            sentence = (
                f"of provider {name!r} only calls of models are served; 'passthrough' in its section allows others"
            )
            raise Denied(HTTPStatus.NOT_FOUND, "tool_not_found", sentence)
        system = allowed(self._providers, identity, name, request.method)
        body = await request.body(self._means.max_body)
        value = value_of(request, body)
        if body and not isinstance(value, dict) and "json" in request.headers.get("content-type", "json").lower():
            raise bad_request("the body says that it is JSON, and is no JSON object")
        require_models(identity, system.model_in(rest), value)
        await self._serve(identity, system, rest, body, value, request, reply)

    async def _serve(
        self, identity: Identity, system: System, rest: str, body: bytes, value: Any, request: Request, reply: Reply
    ) -> None:
        path = below(rest)
        await self._means.seats.take(identity.agent)
        caller = caller_of(request)
        action = Action(
            ActionKind.TOOL_CALL, identity.agent, system.name, f"{request.method} /{rest}", identity.tenant,
            workflow_of(request), f"{caller.trace_id:032x}" if caller.is_valid else "",
            arguments={"query": query_of(request), "body": value},
        )  # fmt: skip
        asked = f"{request.method} /{rest}?{request.query} {body[:_MAX_ASKED].decode('utf-8', 'replace')}"
        subject = _subject(action, identity, caller, asked)
        with (
            self._means.flights.flying(action),
            await self._means.admission.entered(action) as wanted,
            await self._means.quota.for_tool(identity, action, reply) as toll,
            self._means.screens.opened(request.path, action, asked.encode()) as screen,
        ):
            query = request.query
            if screen is not None:
                kind = request.headers.get("content-type", "")
                query, body = await aside(len(body), screened, screen, system.name, rest, query, kind, value, body)
            held = wanted or (screen.held if screen is not None else None)
            headers = {n: request.headers[n] for n in _PASSED_ON if n in request.headers}
            approval = ""
            if held is not None:
                shown = {"method": request.method, "path": f"/{rest}", "query": query, "body": text_of(body)}
                shown["headers"] = {n: headers[n] for n in _AGREED_TO if n in headers}
                approval = await self._agreed(action, held, shown, system, approval_in(request))
                subject.attributes[names.APPROVAL] = approval
            outgoing = system.outgoing(request.method, path, query, body, headers)
            with self._means.approving.carrying_out(action, approval, reply):
                if approval:
                    await self._means.admission.again(action)
                await self._attempt(_Visit(system, subject, reply, toll, screen), outgoing)

    async def _agreed(
        self, action: Action, held: Verdict, shown: Mapping[str, object], system: System, named: str
    ) -> str:
        """The approval by which people agreed.

        Raises:
            Denied: people have not agreed to it, or the system is left alone: what they agreed to is spent only where
                it can be done.
        """
        if refusal := system.circuit.refusal():
            raise refusal
        contract = f"tool at {system.settings.url}"
        return await self._means.approving.require(action, held, lambda: shown, contract, named)

    async def _attempt(self, visit: _Visit, outgoing: Outgoing) -> None:
        """
        Raises:
            Denied: the system cannot be asked, or did not answer.
        """
        circuit, reply = visit.system.circuit, visit.reply
        probe = circuit.admit()
        entry = self._means.ledger.open(visit.subject, Plain().meter(Ask("", False, {}, outgoing.body)), 1)
        visit.toll.left = True
        try:
            broken = await self._exchange(visit, _introduced(outgoing, visit, entry), entry)
        except Failed as failed:
            visit.toll.left = failed.left
            (circuit.bad if failed.fault else circuit.undecided)(probe=probe)
            entry.close(failed.denied.code, cut=bool(reply.status), found=visit.found)
            raise failed.denied from None
        except BaseException as error:
            circuit.undecided(probe=probe)
            entry.close(named(error), cut=True, found=visit.found)
            raise
        (circuit.bad if broken else circuit.good)(probe=probe)
        entry.close(f"http_{reply.status}" if reply.status >= HTTPStatus.BAD_REQUEST else "", found=visit.found)

    async def _exchange(self, visit: _Visit, outgoing: Outgoing, entry: Entry) -> bool:
        """Relay the answer; True when it says that the system is broken."""

        async def read(response: aiohttp.ClientResponse) -> bool:
            veil = Veil(visit.system.name, visit.system.secret)
            await relay(response, entry.meter, visit.reply, visit.screen, veil)
            return response.status >= HTTPStatus.INTERNAL_SERVER_ERROR

        return await self._means.upstream.send(outgoing, visit.system.settings, read)


def _introduced(outgoing: Outgoing, visit: _Visit, entry: Entry) -> Outgoing:
    """A system of ours is told who acts and in which trace; a provider is none of ours."""
    if not visit.system.internal:
        return outgoing
    told = {name: str(value) for name, value in tracing.headers_of(entry.context).items()}
    told[AGENT] = visit.subject.action.agent
    return Outgoing(outgoing.method, outgoing.url, {**outgoing.headers, **told}, outgoing.body)


def _subject(action: Action, identity: Identity, caller: SpanContext, asked: str) -> Subject:
    name = action.operation
    attributes: dict[str, Value] = {names.GEN_AI_OPERATION: "execute_tool", names.GEN_AI_TOOL_NAME: name}
    return Subject(action, identity.team, caller, f"execute_tool {name}", asked, attributes)
