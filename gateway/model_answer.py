"""What a provider answers, on its way to the agent: translated where they speak different APIs, metered, screened."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from gateway.aside import aside
from gateway.call import Call
from gateway.http import EVENTS, JSON
from gateway.meter import Meter
from gateway.providers.translation import Translation
from gateway.relay import Relay
from gateway.reported import error_in, garbled, object_of
from gateway.upstream import Target, body_of, kept

_STREAM_HEADERS: Final = (EVENTS, (b"cache-control", b"no-cache"))


async def stream(
    call: Call, target: Target, translation: Translation, meter: Meter, response: aiohttp.ClientResponse
) -> None:
    """Pass a stream on, event by event.

    Raises:
        Failed: it broke off, or holds an error.
        Denied: what was set aside for it is used up, or a guard said no.
    """
    frames = target.adapter.frames()
    relay = Relay(call.dialect, call.ask, translation, frames, meter, call.reply, call.hold, call.screen)
    await relay.run(response, [*_STREAM_HEADERS, *kept(response)])


async def whole(call: Call, translation: Translation, meter: Meter, response: aiohttp.ClientResponse) -> None:
    """Pass an answer on that comes in one piece.

    Raises:
        Failed: it cannot be read, or is an error.
        Denied: 403, a guard said no.
    """
    body, headers = await body_of(response), [JSON, *kept(response)]
    told = object_of(body)
    if (failed := error_in(told)) is not None:
        meter.take_whole(told)
        raise failed
    if call.screen is not None:
        meter.take_whole(told)  # what is refused was used all the same
    shown = _translated(translation, told)
    if call.screen is not None:
        await aside(len(body), call.screen.answer, call.dialect.slots().whole(shown))
    changed = call.screen is not None or not translation.native
    await call.reply.whole(HTTPStatus.OK, headers, orjson.dumps(shown) if changed else body)
    if call.screen is None:
        meter.take_whole(told)


def _translated(translation: Translation, told: dict[str, Any]) -> dict[str, Any]:
    """
    Raises:
        Failed: it does not have the shape of its API.
    """
    try:
        return translation.answer(told)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise garbled(f"the upstream's answer cannot be read: {error!r}"[:300]) from error
