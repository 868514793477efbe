"""Model calls: admitted, sent, tried again elsewhere, relayed, metered.

An attempt that fails before anything of its answer has reached the agent may be followed by another: at the same
upstream while it may do better, then at the model's fallbacks. Each is a span of its own. What an upstream that all
attempts failed at said itself is told to the agent, where both speak the same API.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from urllib.parse import unquote

import aiohttp

from fusebox import names
from fusebox.eventmap import Value
from fusebox.records import Action, ActionKind, Verdict
from gateway.aside import aside
from gateway.call import Call, call_of
from gateway.denied import Denied, named
from gateway.dialects import Dialect
from gateway.failing import told
from gateway.http import Reply, Request
from gateway.keys import Identity
from gateway.ledger import Entry, Subject
from gateway.means import Means
from gateway.meter import Meter
from gateway.model_answer import stream, whole
from gateway.providers.base import Outgoing
from gateway.providers.translation import Translation
from gateway.routes import Routes
from gateway.screen import Screen
from gateway.systems import require_model, require_others
from gateway.upstream import Failed, Target, failure_of
from gateway.way import Way


class ModelCalls:
    """Serves them."""

    def __init__(self, routes: Routes, means: Means) -> None:
        self._routes, self._means = routes, means

    async def listed(self, identity: Identity) -> list[str]:
        """The models that a key allows.

        Raises:
            Denied: its agent is stopped.
        """
        await self._means.seats.take(identity.agent)
        self._means.admission.require_standing(
            Action(ActionKind.MODEL_CALL, identity.agent, "models", tenant=identity.tenant)
        )
        return self._routes.models(identity)

    async def serve(self, identity: Identity, dialect: Dialect, request: Request, reply: Reply) -> None:
        """One request.

        Raises:
            Denied: why it is not served.
        """
        ask = dialect.read(await request.body(self._means.max_body))
        targets = self._routes.find(identity, ask.model, dialect)
        require_others(identity, ask.body)
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
        require_others(identity, ask.body)
        call = call_of(identity, dialect, ask, request, reply)
        call.passed = (path, request.query)
        await self._serve(call, [replace(target, model=ask.model)])

    async def _serve(self, call: Call, targets: list[Target]) -> None:
        await self._means.seats.take(call.identity.agent)
        with (
            self._means.flights.flying(call.action),
            await self._means.admission.entered(call.action) as asked,
            self._means.screens.opened(call.route, call.action, call.ask.raw) as call.screen,
        ):
            await self._admitted(call, targets, asked)

    async def _admitted(self, call: Call, targets: list[Target], asked: Verdict | None) -> None:
        if call.screen is not None:
            await aside(len(call.ask.raw), _screen, call, call.screen)
            asked = asked or call.screen.held
        quota = self._means.quota
        with await quota.for_model(
            call.identity, call.dialect, call.ask, call.action, targets, call.reply
        ) as call.hold:
            if asked is not None:
                call.approved = await self._agreed(call, asked, targets)
            with self._means.approving.carrying_out(call.action, call.approved, call.reply):
                if call.approved:
                    await self._means.admission.again(call.action)
                await self._try_all(call, targets)

    async def _agreed(self, call: Call, held: Verdict, targets: list[Target]) -> str:
        """The approval by which people agreed.

        Raises:
            Denied: people have not agreed to it, or all upstreams are left alone: what they agreed to is spent only
                where it can be done.
        """
        refusals = [target.circuit.refusal() for target in targets]
        if (last := refusals[-1]) and all(refusals):
            raise last
        return await self._means.approving.require(
            call.action, held, lambda: call.ask.body, call.contract, call.approval
        )

    async def _try_all(self, call: Call, targets: list[Target]) -> None:
        way = Way(call, targets)
        while (failed := await self._attempt(call, way)) is not None:
            if not way.goes_on(failed):
                raise await told(call, way.target, failed)
            await way.on(failed)

    async def _attempt(self, call: Call, way: Way) -> Failed | None:
        """One request to one upstream; how it failed.

        Raises:
            Denied: 400, it cannot be asked of this provider.
        """
        target = way.target
        translation = target.adapter.translation(call.dialect)
        outgoing = call.outgoing(target, translation)
        try:
            probe = target.circuit.admit()
        except Denied as denied:
            return Failed(denied)
        meter = target.adapter.spoken(call.dialect).meter(call.ask)
        entry = self._means.ledger.open(_subject(call, target), meter, way.number)
        try:
            await self._exchange(call, target, outgoing, translation, meter)
        except Failed as failed:
            (target.circuit.bad if failed.fault else target.circuit.undecided)(probe=probe)
            cut, used = bool(call.reply.status) and not call.reply.ended, failed.left and not failed.refused
            follows = way.goes_on(failed)
            self._over(call, target, entry, failed.denied.code, failed.left, cut=cut, used=used, superseded=follows)
            return failed
        except BaseException as error:
            target.circuit.undecided(probe=probe)
            self._over(call, target, entry, named(error), cut=True)
            raise
        target.circuit.good(probe=probe)
        self._over(call, target, entry)
        return None

    @staticmethod
    def _over(call: Call, target: Target, entry: Entry, error: str = "", left: bool = True, **how: bool) -> None:
        """An attempt has ended: in the ledger, and on the quota's bill if it left."""
        metered = entry.close(error, found=call.screen.counts if call.screen else {}, **how)
        if call.hold is not None and left:
            call.hold.used(metered, target)

    async def _exchange(
        self, call: Call, target: Target, outgoing: Outgoing, translation: Translation, meter: Meter
    ) -> None:
        async def read(response: aiohttp.ClientResponse) -> None:
            if response.status != HTTPStatus.OK:
                raise await failure_of(response)
            if call.ask.stream:
                await stream(call, target, translation, meter, response)
            else:
                await whole(call, translation, meter, response)

        await self._means.upstream.send(outgoing, target.adapter.settings, read)


def _screen(call: Call, screen: Screen) -> None:
    """
    Raises:
        Denied: 403, a guard said no.
    """
    screen.request(call.ask, unquote("?".join(call.passed or ())))
    if screen.canary:
        call.dialect.plant(call.ask, screen.canary)
    call.ask.settle()


def _subject(call: Call, target: Target) -> Subject:
    attributes: dict[str, Value] = {
        names.GEN_AI_OPERATION: call.dialect.operation, names.GEN_AI_PROVIDER: target.adapter.provider,
        names.GEN_AI_REQUEST_MODEL: target.model,
    }  # fmt: skip
    if call.approved:
        attributes[names.APPROVAL] = call.approved
    span_name = f"{call.dialect.operation} {target.model}"
    return Subject(call.action, call.identity.team, call.caller, span_name, call.ask.asked, attributes)
