"""Exchange: one request and the head of its answer, over a connection of aiohttp's pool.

aiohttp's session does for each call what a gateway has no use for: cookies, redirects, forms, a task that writes the
body, a timer that every read enters anew. That is more than half of a call's way out. So what lies below the session is
used: its connector (pool, names, TLS), its writer, its parser and its response; a request's line and its unchanging
headers are made once for each address.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop, get_env_proxy_for_url
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict
from yarl import URL

from fusebox.config import is_loopback
from fusebox.tls import client_context
from fusebox.version import __version__
from gateway.providers.base import Outgoing
from gateway.upstream_settings import Upstream as Limits

_KEPT_S: Final = 30.0
_ADDRESSES: Final = 1024
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that change nothing (RFC 9110, 9.2.1). Others could be sent twice as well, but who agreed, agreed to one."""
_COMMON: Final = CIMultiDict({hdrs.USER_AGENT: f"fusebox-gateway/{__version__}", hdrs.ACCEPT_ENCODING: "identity"})
_NO_TIMER: Final = TimerNoop()


@dataclass(frozen=True, slots=True)
class _Address:
    """What all requests to one address have in common."""

    request: aiohttp.ClientRequest
    line: str
    info: aiohttp.RequestInfo

    def headers(self, outgoing: Outgoing) -> CIMultiDict[str]:
        """Of one request."""
        told = self.request.headers.copy()
        told.update(outgoing.headers)
        if outgoing.body:
            told[hdrs.CONTENT_LENGTH] = str(len(outgoing.body))
        return told


class Exchange:
    """Sends requests, on the event loop on which it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S, ssl=client_context())
        self._address = lru_cache(_ADDRESSES)(self._address_of)

    async def ask(self, outgoing: Outgoing, limits: Limits) -> aiohttp.ClientResponse:
        """The answer's head; whoever gets it must release it.

        Raises:
            aiohttp.ClientError: no connection, or it broke off.
            TimeoutError: no connection or no answer in time.
        """
        try:
            return await self._asked(outgoing, limits)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if outgoing.method not in _SAFE or isinstance(error, aiohttp.ClientConnectorError):
                raise  # else: the upstream may just have closed a connection that was kept
        return await self._asked(outgoing, limits)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._connector.close()

    async def _asked(self, outgoing: Outgoing, limits: Limits) -> aiohttp.ClientResponse:
        address = self._address(outgoing.method, outgoing.url)
        try:
            connection = await self._connector.connect(address.request, [], _connecting(limits.connect_s))
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None  # nothing was sent yet
        try:
            response = await self._sent(outgoing, address, connection, limits.idle_s)
            try:
                return await response.start(connection)
            except BaseException:
                response.close()
                raise
        except BaseException:
            connection.close()
            raise

    async def _sent(
        self, outgoing: Outgoing, address: _Address, connection: Connection, idle_s: float
    ) -> aiohttp.ClientResponse:
        protocol = cast(ResponseHandler, connection.protocol)
        protocol.set_response_params(
            read_timeout=idle_s, read_until_eof=True, skip_payload=outgoing.method == hdrs.METH_HEAD
        )
        writer = StreamWriter(protocol, self._loop)
        await writer.write_headers(address.line, address.headers(outgoing))
        if outgoing.body:
            await writer.write(outgoing.body, drain=False)
        else:
            writer.set_eof()
        leaving = None
        if protocol.writing_paused:  # an answer may come before all of the body has gone
            leaving = self._loop.create_task(_left(writer, protocol, connection))
        else:
            protocol.start_timeout()
        return aiohttp.ClientResponse(
            outgoing.method, address.request.url, writer=leaving, continue100=None, timer=_NO_TIMER,
            request_info=address.info, traces=[], loop=self._loop, session=cast(Any, None), stream_writer=writer,
        )  # fmt: skip

    def _address_of(self, method: str, url: str) -> _Address:
        target = URL(url, encoded=True)
        proxy, user = _proxy_of(target)
        request = aiohttp.ClientRequest(method, target, headers=_COMMON, loop=self._loop, proxy=proxy, proxy_auth=user)
        if method in request.POST_METHODS:
            request.headers[hdrs.CONTENT_TYPE] = "application/octet-stream"  # where nobody says anything else
        return _Address(request, f"{method} {request.url.raw_path_qs} HTTP/1.1", request.request_info)


def _proxy_of(url: URL) -> tuple[URL | None, aiohttp.BasicAuth | None]:
    """That of ``HTTPS_PROXY``, where ``NO_PROXY`` does not name the host. It is handed https alone, whose keys and
    texts it cannot read."""
    if url.scheme != "https" or is_loopback(str(url)):
        return None, None
    try:
        return get_env_proxy_for_url(url)
    except LookupError:  # there is none
        return None, None


async def _left(writer: StreamWriter, protocol: ResponseHandler, connection: Connection) -> None:
    """Wait until the body has gone; from then on the upstream may be waited for."""
    try:
        with suppress(OSError, aiohttp.ClientError):  # the answer's reader hears of it
            await writer.drain()
            protocol.start_timeout()
    except asyncio.CancelledError:  # the answer is over: nobody may use what half a request was sent on
        connection.close()
        raise


@lru_cache(64)
def _connecting(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=seconds)
