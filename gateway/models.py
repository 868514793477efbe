"""Model calls: read, admitted, screened, set aside for; then made (:mod:`gateway.attempts`)."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

from fusebox.records import Action, ActionKind, Verdict
from gateway.aside import aside
from gateway.attempts import Attempts
from gateway.call import Call, call_of
from gateway.dialects import Dialect
from gateway.http import Reply, Request
from gateway.keys import Identity
from gateway.means import Means
from gateway.routes import Routes
from gateway.screen import Screen
from gateway.systems import require_model, require_others
from gateway.upstream import Target


class ModelCalls:
    """Serves them."""

    def __init__(self, routes: Routes, means: Means) -> None:
        self._routes, self._means, self._attempts = routes, means, Attempts(means)

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
                await self._attempts.make(call, targets)

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


def _screen(call: Call, screen: Screen) -> None:
    """
    Raises:
        Denied: 403, a guard said no.
    """
    screen.request(call.ask, unquote("?".join(call.passed or ())))
    if screen.canary:
        call.dialect.plant(call.ask, screen.canary)
    call.ask.settle()
