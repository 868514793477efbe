"""Attempts: a model call that was admitted, sent, tried again elsewhere, relayed, metered.

An attempt that fails before anything of its answer has reached the agent may be followed by another: at the same
upstream while it may do better, then at the model's fallbacks, as far as the policy allows them. Each is a span of its
own. What an upstream that all attempts failed at said itself is told to the agent, where both speak the same API.
"""

from __future__ import annotations

from http import HTTPStatus

import aiohttp

from fusebox import names
from fusebox.eventmap import Value
from gateway.call import Call
from gateway.denied import Denied, named
from gateway.failing import told
from gateway.ledger import Entry, Subject
from gateway.means import Means
from gateway.meter import Meter
from gateway.model_answer import stream, whole
from gateway.providers.base import Outgoing
from gateway.providers.translation import Translation
from gateway.upstream import Failed, Target, failure_of
from gateway.way import Way


class Attempts:
    """Makes them."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def make(self, call: Call, targets: list[Target]) -> None:
        """As many as it takes, at ``targets`` in turn.

        Raises:
            Denied: why all of them came to nothing.
        """
        way = Way(call, targets, self._means.admission)
        while (failed := await self._attempt(call, way)) is not None:
            if not await way.goes_on(failed):
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
            await self._failed(call, way, entry, failed)
            return failed
        except BaseException as error:
            target.circuit.undecided(probe=probe)
            self._over(call, target, entry, named(error), cut=True)
            raise
        target.circuit.good(probe=probe)
        self._over(call, target, entry)
        return None

    async def _failed(self, call: Call, way: Way, entry: Entry, failed: Failed) -> None:
        cut, used = bool(call.reply.status) and not call.reply.ended, failed.left and not failed.refused
        follows, target = False, way.target
        try:
            follows = await way.goes_on(failed)
        finally:  # it may be cut while the policy is asked
            self._over(call, target, entry, failed.error, failed.left, cut=cut, used=used, superseded=follows)

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


def _subject(call: Call, target: Target) -> Subject:
    attributes: dict[str, Value] = {
        names.GEN_AI_OPERATION: call.dialect.operation, names.GEN_AI_PROVIDER: target.adapter.provider,
        names.GEN_AI_REQUEST_MODEL: target.model,
    }  # fmt: skip
    if call.resent:
        attributes[names.RESENT] = call.resent
    if call.approved:
        attributes[names.APPROVAL] = call.approved
    span_name = f"{call.dialect.operation} {target.model}"
    return Subject(call.action, call.identity.team, call.caller, span_name, call.ask.asked, attributes, call.resent)
