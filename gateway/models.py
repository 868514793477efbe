"""Model calls: admitted, sent, tried again elsewhere, relayed, metered.

An attempt that fails before anything of its answer has reached the agent may be followed by another: at the same
upstream while it may do better, then at the model's fallbacks. Each is a span of its own. What an upstream that all
attempts failed at said itself is told to the agent as it is, where both speak the same API.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import aiohttp
import orjson

from fusebox import names
from fusebox.eventmap import Value
from fusebox.records import Verdict
from gateway.call import Call, call_of, named
from gateway.denied import Denied
from gateway.dialects import Dialect, Messages
from gateway.http import EVENTS, JSON, Reply, Request
from gateway.keys import Identity
from gateway.ledger import Entry, Subject
from gateway.means import Means
from gateway.meter import Meter
from gateway.providers.base import upstream_said
from gateway.providers.translate import Translation
from gateway.relay import Relay
from gateway.routes import Routes
from gateway.screen import Screen
from gateway.systems import require_model
from gateway.upstream import Failed, Target, body_of, failure_of, kept, pause_before

_STREAM_HEADERS: Final = (EVENTS, (b"cache-control", b"no-cache"))
_PROVIDERS_DIALECT: Final = Messages()
"""What a provider of the other wire speaks, whatever the agent speaks."""


class ModelCalls:
    """Serves them."""

    def __init__(self, routes: Routes, means: Means) -> None:
        self._routes, self._means = routes, means

    async def serve(self, identity: Identity, dialect: Dialect, request: Request, reply: Reply) -> None:
        """One request.

        Raises:
            Denied: why it is not served.
        """
        ask = dialect.read(await request.body(self._means.max_body))
        targets = self._routes.find(identity, ask.model, dialect)
        await self._serve(call_of(identity, dialect, ask, request, reply), targets)

    async def serve_passed(
        self, identity: Identity, dialect: Dialect, provider: str, path: str, request: Request, reply: Reply
    ) -> None:
        """One request that goes to a provider as it is, but for the guards.

        Raises:
            Denied: why it is not served.
        """
        ask, target = dialect.read(await request.body(self._means.max_body)), self._routes.passing(provider)
        ask.model = target.adapter.model_in(unquote(path)) or ask.model
        require_model(identity, ask.model)
        call = call_of(identity, dialect, ask, request, reply)
        call.passed = (path, request.query)
        await self._serve(call, [replace(target, model=ask.model)])

    async def _serve(self, call: Call, targets: list[Target]) -> None:
        try:
            await self._admit(call, targets)
        finally:
            if call.screen is not None:
                call.screen.close()

    async def _admit(self, call: Call, targets: list[Target]) -> None:
        await self._means.seats.take(call.identity.agent)
        with self._means.flights.flying(call.action):
            async with self._means.admission.entered(call.action) as asked:
                await self._admitted(call, targets, asked)

    async def _admitted(self, call: Call, targets: list[Target], asked: Verdict | None) -> None:
        call.screen = self._means.screens.open(call.route, call.action)
        if call.screen is not None:
            _screen(call, call.screen)
        held = self._means.quota.for_model(call.identity, call.dialect, call.ask, call.action, targets, call.reply)
        async with held as call.hold:
            if asked is not None:
                await self._agreed(call, asked)
            await self._try_all(call, targets)

    async def _agreed(self, call: Call, held: Verdict) -> None:
        """
        Raises:
            Denied: people have not agreed to it, or a guard says no by now.
        """
        await self._means.approving.require(call.action, held, lambda: call.ask.body, call.contract, call.approval)
        await self._means.admission.again(call.action)

    async def _try_all(self, call: Call, targets: list[Target]) -> None:
        last: Failed | None = None
        number = 0
        for place, target in enumerate(targets):
            for left in range(target.retries, -1, -1):
                more = bool(left) or place + 1 < len(targets)
                number += 1
                try:
                    await self._attempt(call, target, number, more)
                    return
                except Failed as failed:
                    last = failed
                if call.reply.status or not last.elsewhere:
                    raise _told(call, target, last)
                if not last.again:
                    break
                if left:
                    await pause_before(number, last)
        assert last is not None
        raise _told(call, targets[-1], last)

    async def _attempt(self, call: Call, target: Target, number: int, more: bool) -> None:
        """One request to one upstream.

        Raises:
            Failed: it came to nothing.
        """
        try:
            probe = target.circuit.admit()
        except Denied as denied:
            raise Failed(denied) from None
        native = target.adapter.wire is call.dialect.wire
        meter = (call.dialect if native else _PROVIDERS_DIALECT).meter(call.ask)
        entry = self._means.ledger.open(_subject(call, target), meter, number)
        try:
            await self._exchange(call, target, meter)
        except Failed as failed:
            (target.circuit.bad if failed.fault else target.circuit.undecided)(probe=probe)
            follows = more and failed.elsewhere and not call.reply.status
            self._over(call, target, entry, failed.denied.code, cut=bool(call.reply.status), superseded=follows)
            raise
        except BaseException as error:
            target.circuit.undecided(probe=probe)
            self._over(call, target, entry, named(error), cut=True)
            raise
        target.circuit.good(probe=probe)
        self._over(call, target, entry)

    @staticmethod
    def _over(call: Call, target: Target, entry: Entry, error: str = "", **how: bool) -> None:
        """An attempt has ended: in the ledger, and on the quota's bill."""
        metered = entry.close(error, found=call.screen.counts if call.screen else {}, **how)
        if call.hold is not None and metered is not None:
            call.hold.used(metered, target)

    async def _exchange(self, call: Call, target: Target, meter: Meter) -> None:
        translation = target.adapter.translation(call.dialect)
        outgoing = call.outgoing(target, translation)
        async with self._means.upstream.send(outgoing, target.adapter.settings) as response:
            if response.status != HTTPStatus.OK:
                raise await failure_of(response)
            if call.ask.stream:
                frames = target.adapter.frames()
                relay = Relay(call.dialect, call.ask, translation, frames, meter, call.reply, call.hold, call.screen)
                await relay.run(response, [*_STREAM_HEADERS, *kept(response)])
            else:
                await self._whole(call, translation, meter, response)

    async def _whole(
        self, call: Call, translation: Translation, meter: Meter, response: aiohttp.ClientResponse
    ) -> None:
        body, headers = await body_of(response), [JSON, *kept(response)]
        told = _object(body)
        if call.screen is not None:
            meter.take_whole(told)  # what is refused was used all the same
        shown = translation.answer(told)
        if call.screen is not None:
            call.screen.answer(call.dialect.slots().whole(shown))
        changed = call.screen is not None or not translation.native
        await call.reply.whole(HTTPStatus.OK, headers, orjson.dumps(shown) if changed else body)
        if call.screen is None:
            meter.take_whole(told)


def _screen(call: Call, screen: Screen) -> None:
    """
    Raises:
        Denied: 403, a guard said no.
    """
    screen.request(call.ask)
    if screen.canary:
        call.dialect.plant(call.ask, screen.canary)
    call.ask.settle()


def _told(call: Call, target: Target, failed: Failed) -> Denied:
    """What the agent is told: the upstream's own words, if it speaks the agent's API."""
    denied = failed.denied
    native = target.adapter.wire is call.dialect.wire
    return upstream_said(denied.status, denied.words) if denied.words and not native else denied


def _subject(call: Call, target: Target) -> Subject:
    attributes: dict[str, Value] = {
        names.GEN_AI_OPERATION: call.dialect.operation, names.GEN_AI_PROVIDER: target.adapter.provider,
        names.GEN_AI_REQUEST_MODEL: target.model,
    }  # fmt: skip
    span_name = f"{call.dialect.operation} {target.model}"
    return Subject(call.action, call.identity.team, call.caller, span_name, call.ask.asked, attributes)


def _object(body: bytes) -> dict[str, Any]:
    """
    Raises:
        Failed: it is no JSON object.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise Failed(
            Denied(HTTPStatus.BAD_GATEWAY, "upstream_garbled", "the upstream's answer is not JSON"), fault=True
        )
    return told
