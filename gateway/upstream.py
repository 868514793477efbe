"""Upstream: sends one request and says in one vocabulary how it failed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp

from gateway.breaker import Circuit
from gateway.denied import AGAIN, Denied
from gateway.exchange import Exchange
from gateway.http import Header, safe
from gateway.providers.base import Adapter, Outgoing
from gateway.upstream_settings import Upstream as Limits

T = TypeVar("T")
Reader = Callable[[aiohttp.ClientResponse], Awaitable[T]]
"""Reads an answer whose head has come."""

MAX_ANSWER: Final = 64 << 20
REJECTED: Final = "upstream_rejected"
_KEPT: Final = ("x-request-id", "request-id", "openai-processing-ms", "openai-version", AGAIN)
"""Headers of an upstream that agents see."""
_MINE: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_MAX_PATIENCE_S: Final = 5.0
_MAX_RETRY_AFTER_S: Final = 3600.0
_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_LAST_STATUS: Final = 599
_LINGER_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model can be had."""

    alias: str
    """As agents ask for it."""
    model: str
    """As the provider calls it."""
    adapter: Adapter
    circuit: Circuit
    retries: int


class Failed(Exception):
    """An attempt failed.

    Args:
        denied: what the agent is told when nothing else helps.
        fault: the upstream is to blame; its circuit counts it.
        again: the same upstream may do better a moment later.
        elsewhere: another one may.
        pause: seconds it asked to be left alone.
        left: it may have reached the upstream.
        refused: the upstream answered that it does not serve it.
        asked: what was asked is to blame, and no upstream.
    """

    def __init__(
        self, denied: Denied, *, fault: bool = False, again: bool = False, elsewhere: bool = True, pause: float = 0.0,
        left: bool = True, refused: bool = False, asked: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(denied.message)
        self.denied, self.fault, self.again, self.elsewhere = denied, fault, again, elsewhere
        self.pause, self.left, self.refused, self.asked = pause, left, refused, asked

    @property
    def error(self) -> str:
        """Its name in the ledger, by which detectors tell whose doing it is; the agent is told the other one."""
        return REJECTED if self.asked else self.denied.code


class Upstream:
    """The way out, opened on the event loop that uses it."""

    def __init__(self) -> None:
        self._exchange: Exchange | None = None

    async def send(self, outgoing: Outgoing, limits: Limits, read: Reader[T]) -> T:
        """What ``read`` makes of the answer, whose head it is given.

        Raises:
            Failed: no connection, no answer in time, or it broke off.
        """
        exchange = self._exchange = self._exchange or Exchange()
        try:
            async with asyncio.timeout(limits.total_s):
                response = await exchange.ask(outgoing, limits)
                try:
                    if response.status > _LAST_STATUS:
                        raise _odd(response.status)
                    return await read(response)
                finally:
                    response.release()
        except TimeoutError as error:
            raise Failed(
                Denied(HTTPStatus.GATEWAY_TIMEOUT, "upstream_timeout", "the upstream did not answer in time"),
                fault=True, again=True, left=not isinstance(error, aiohttp.ConnectionTimeoutError),
            ) from None  # fmt: skip
        except aiohttp.ClientError as error:
            raise Failed(
                Denied(HTTPStatus.BAD_GATEWAY, "upstream_unavailable", f"the upstream cannot be reached or broke off: "
                       f"{type(error).__name__}"),
                fault=True, again=True, left=not isinstance(error, aiohttp.ClientConnectorError),
            ) from error  # fmt: skip

    async def close(self) -> None:
        """Let go of all connections."""
        if self._exchange is not None:
            await self._exchange.close()
            self._exchange = None


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """The whole body.

    Raises:
        Failed: it is too long.
    """
    announced = length_of(response)
    if announced is not None and announced <= MAX_ANSWER:
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            break
    if size > MAX_ANSWER or (announced or 0) > MAX_ANSWER:
        sentence = f"the upstream's answer exceeds {MAX_ANSWER} bytes"
        raise Failed(Denied(HTTPStatus.BAD_GATEWAY, "answer_too_large", sentence), elsewhere=False)
    return b"".join(parts)


async def emptied(response: aiohttp.ClientResponse) -> None:
    """Take what little still comes behind the end of a stream, for a moment: then the connection can be used again."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(_LINGER_S):
            async for _ in response.content.iter_any():
                pass


def length_of(response: aiohttp.ClientResponse) -> int | None:
    """Bytes of the body, where that is known before it is read: of a compressed one it is not."""
    return None if aiohttp.hdrs.CONTENT_ENCODING in response.headers else response.content_length


async def failure_of(response: aiohttp.ClientResponse) -> Failed:
    """What an error status means."""
    status, body, headers = response.status, await body_of(response), kept(response)
    if status in _MINE:  # the gateway's own credential: none of the agent's business
        sentence = (
            f"the gateway's credential for this upstream was refused (HTTP status {status}); its operator must look"
        )
        return Failed(Denied(HTTPStatus.BAD_GATEWAY, "upstream_refused_credential", sentence), refused=True)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        sentence = "the upstream answers with a redirect"
        return Failed(Denied(HTTPStatus.BAD_GATEWAY, "upstream_redirects", sentence), refused=True)
    if status < HTTPStatus.BAD_REQUEST:  # 204, say, which has no body
        return _odd(status)
    busy = status == HTTPStatus.TOO_MANY_REQUESTS
    broken = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    pause, useless = _seconds(response.headers.get("retry-after", "")), response.headers.get(AGAIN) == "false"
    sentence = f"the upstream answered with HTTP status {status}"
    denied = Denied(status, "upstream_error", sentence, retry_after=pause, headers=headers, words=body)
    return Failed(
        denied, fault=broken, again=(broken or busy) and not useless and (pause or 0.0) <= _MAX_PATIENCE_S,
        elsewhere=busy or broken or status == HTTPStatus.NOT_FOUND, pause=pause or 0.0, refused=True,
        asked=not (busy or broken),
    )  # fmt: skip


def _odd(status: int) -> Failed:
    sentence = f"the upstream answered with HTTP status {status}, which is neither an answer nor an error here"
    return Failed(Denied(HTTPStatus.BAD_GATEWAY, "upstream_garbled", sentence), fault=True, refused=True)


def kept(response: aiohttp.ClientResponse) -> tuple[Header, ...]:
    """The headers of an upstream that agents see."""
    told = response.headers
    return tuple(header for name in _KEPT if name in told for header in safe(name, told[name]))


def _seconds(text: str) -> float | None:
    """Of a ``retry-after``, which is a number or a date."""
    try:
        told = float(text) if _NUMBER.fullmatch(text) else parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
    return max(0.0, min(told, _MAX_RETRY_AFTER_S))


async def pause_before(number: int, failed: Failed) -> None:
    """Wait as the upstream asked, or a moment that grows."""
    await asyncio.sleep(failed.pause or min(2.0, 0.1 * 2**number))
