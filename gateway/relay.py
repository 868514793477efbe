"""Relay: a stream on its way from an upstream to an agent, event by event, never waiting for the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import aiohttp

from gateway.denied import Denied
from gateway.dialects import Ask, Dialect
from gateway.hold import Hold
from gateway.http import Header, Reply
from gateway.meter import Meter
from gateway.providers.base import Frames
from gateway.providers.translation import Translation
from gateway.reported import ended_badly, error_in, object_of
from gateway.screen import Screen
from gateway.sse import DONE, TooLong, data_of, is_comment, json_of
from gateway.upstream import Failed, body_of, emptied


class Relay:
    """One stream."""

    def __init__(
        self, dialect: Dialect, ask: Ask, translation: Translation, frames: Frames, meter: Meter, reply: Reply,
        hold: Hold | None, screen: Screen | None,
    ) -> None:  # fmt: skip
        self._dialect, self._ask, self._meter, self._reply = dialect, ask, meter, reply
        self._translation, self._frames = translation, frames
        self._hold, self._over, self._paid = hold, False, 0
        self._failed: Failed | None = None
        self._screen = screen.stream(dialect.slots()) if screen is not None else None

    async def run(self, response: aiohttp.ClientResponse, headers: Iterable[Header]) -> None:
        """Pass the whole stream on.

        Raises:
            Failed: it broke off, holds an error, or ends with one; the last has been passed on if anything was. Or it
                is no stream.
        """
        begun = False
        async for chunk in response.content.iter_any():
            if not begun and chunk.lstrip().startswith(b"{"):  # neither an event nor a frame begins so
                raise self._unstreamed(chunk + await body_of(response))
            begun = True
            await self._pass(self._events(self._frames.feed, chunk), headers)
            if self._over:  # whatever the upstream does next: its agent may leave, having heard all
                break
            await self._pay()
        else:
            await self._pass(self._events(self._frames.end), headers)
            if self._meter.complete and not self._over:  # not every server says that this is the end
                await self._pass(self._events(lambda: [DONE]), headers)
        if not self._over:
            raise _broken("upstream_cut", "the upstream's stream broke off before its end")
        await self._reply.end()
        await emptied(response)
        if self._failed is not None:
            raise self._failed

    def _unstreamed(self, body: bytes) -> Failed:
        """What an answer in one piece means; what it used was used."""
        told = object_of(body)
        self._meter.take_whole(told)
        sentence = "the upstream answered in one piece, though a stream was asked for"
        denied = Denied(HTTPStatus.BAD_GATEWAY, "upstream_unstreamed", sentence)
        return error_in(told) or Failed(denied, fault=True)

    async def _pass(self, out: bytes, headers: Iterable[Header]) -> None:
        if out:
            if not self._reply.status:
                await self._reply.start(HTTPStatus.OK, headers)
            await self._reply.chunk(out)

    async def _pay(self) -> None:
        """
        Raises:
            Denied: what was set aside for the answer is used up.
        """
        if self._hold is None or self._over or self._meter.passed == self._paid:
            return  # what only tells the usage of an answer is its end
        self._paid = self._meter.passed
        if not await self._hold.reach(*self._meter.so_far()):
            told = self._hold.told
            sentence = f"the answer is longer than {'its quota has room for' if told else 'the request allows'}"
            raise Denied(HTTPStatus.TOO_MANY_REQUESTS, "quota_used_up", sentence, told=told)

    def _events(self, cut: Callable[..., list[bytes]], *chunk: bytes) -> bytes:
        try:
            return b"".join([part for event in cut(*chunk) for part in self._event(event)])
        except (TooLong, ValueError, LookupError, TypeError, AttributeError) as error:
            raise _broken("upstream_garbled", f"the upstream's stream cannot be read: {error!r}"[:300]) from error

    def _event(self, event: bytes) -> list[bytes]:
        told = json_of(event)
        if told is None:
            return self._unread(event)
        if (failed := error_in(told)) is not None:
            raise failed
        kind = told.get("type")
        self._over = self._over or kind in _ENDS
        self._meter.take_event(told)
        if kind == "response.failed":
            self._failed = ended_badly((told.get("response") or {}).get("error"))
            if not self._reply.status:
                raise self._failed
        if self._translation.native:
            if self._dialect.hidden(self._ask, told):
                return []
            return [event] if self._screen is None else self._screened(told)
        return self._translated(self._translation.event(told))

    def _unread(self, event: bytes) -> list[bytes]:
        """What is no JSON: the end, or a comment; of anything else nobody who must read it can tell what it says."""
        data = data_of(event)
        if data == b"[DONE]":
            self._over = True
            return self._translated(self._translation.done())
        if data and not (self._translation.native and self._screen is None):
            raise ValueError("an event is not JSON")
        shown = self._translation.native and (self._screen is None or is_comment(event))
        return [event] if shown else []

    def _translated(self, events: list[dict[str, Any] | str]) -> list[bytes]:
        return [part for told in events for part in self._translated_one(told)]

    def _translated_one(self, told: dict[str, Any] | str) -> list[bytes]:
        if isinstance(told, str):
            return [*self._held_back(), b"data: %s\n\n" % told.encode()]
        return [self._dialect.encoded(told)] if self._screen is None else self._screened(told)

    def _screened(self, told: dict[str, Any]) -> list[bytes]:
        assert self._screen is not None
        return [self._dialect.encoded(each) for each in self._screen.event(told)]

    def _held_back(self) -> list[bytes]:
        return [self._dialect.encoded(each) for each in self._screen.end()] if self._screen is not None else []


_ENDS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


def _broken(code: str, sentence: str) -> Failed:
    return Failed(Denied(HTTPStatus.BAD_GATEWAY, code, sentence), fault=True, again=True)
