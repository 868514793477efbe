"""OTLP over gRPC: the method ``Export`` of each signal, on raw bytes, into the same intake as HTTP.

Calls are coroutines and read their message themselves: the token is looked at before the message is taken, a sender
that is slow costs no thread, and one that sends too much at once is told when to come again. (gRPC's own limit of
calls answers RESOURCE_EXHAUSTED without ``RetryInfo``, upon which an exporter drops its data.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import grpc
import grpc.aio

from collector.ports import address, port_in_use
from collector.receive.answers import response, status
from collector.receive.decode import Encoding
from collector.receive.inflate import MAX_BODY
from collector.receive.intake import Intake, refuse
from collector.receive.refusal import Refusal, Why, no_token
from collector.receive.signals import NOT_STORED, SIGNALS, Signal, not_stored
from collector.tokens import Tokens, bearer

_MAX_CALLS: Final = 64
_MESSAGE_DEADLINE_S: Final = 30.0
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_BODY),  # also what a compressed message may inflate to
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", 2 * _MAX_CALLS),  # of one connection
    ("grpc.max_allowed_incoming_connections", 256),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.so_reuseport", 0),
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

_Export = Callable[[AsyncIterator[bytes], Any], Coroutine[Any, Any, bytes]]


class GrpcDoor:
    """The gRPC server, with an event loop and a thread of its own."""

    def __init__(self, intake: Intake, tokens: Tokens, host: str, port: int, workers: int) -> None:
        self._intake = intake
        self._tokens = tokens
        self._host, self.port = host, port
        self._workers = ThreadPoolExecutor(workers, "fusebox-grpc")
        self._calls = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fusebox-grpc", daemon=True)
        self._server: grpc.aio.Server | None = None

    def start(self) -> None:
        """Listen; ``port`` is the real one from now on.

        Raises:
            PortInUse: another program listens there.
        """
        self._thread.start()
        try:
            self._await(self._listen(), 30.0)
        except RuntimeError as error:
            self.stop()
            raise port_in_use(self._host, self.port, "grpc_port") from error

    def stop(self, timeout: float = 10.0) -> None:
        """Refuse new calls, let running ones finish within ``timeout`` seconds. Legal before start and twice."""
        if self._thread.is_alive():
            if self._server is not None:
                self._await(self._server.stop(timeout), timeout + 5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._workers.shutdown()

    def _await(self, work: Coroutine[Any, Any, Any], timeout: float) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    async def _listen(self) -> None:
        server = grpc.aio.server(options=_OPTIONS)
        for signal in SIGNALS:
            _serve(server, signal.service, partial(self._export, signal))
        for name, service in NOT_STORED.items():
            _serve(server, service, partial(_refuse, name))
        self.port = server.add_insecure_port(address(self._host, self.port))
        await server.start()
        self._server = server

    async def _export(self, signal: Signal, messages: AsyncIterator[bytes], context: Any) -> bytes:
        self._calls += 1
        try:
            return await self._take(signal, messages, context)
        except StopAsyncIteration:
            return b""  # the sender went away, or gRPC refused its message as too large
        except Exception as error:  # the sender gets one sentence; refuse() counts and logs
            return await _abort(context, refuse(error))
        finally:
            self._calls -= 1

    async def _take(self, signal: Signal, messages: AsyncIterator[bytes], context: Any) -> bytes:
        sent = dict(context.invocation_metadata() or ())
        principal = self._tokens.authenticate(bearer(sent.get("authorization")))
        if principal is None:
            raise no_token()
        if self._calls > _MAX_CALLS:
            raise Refusal(Why.BUSY, f"{_MAX_CALLS} calls are being answered; try again")
        body = await _message(messages)
        answer = await self._loop.run_in_executor(
            self._workers, self._intake.take, body, Encoding.PROTOBUF, principal, signal
        )
        return bytes(response(answer, signal).SerializeToString())


def _serve(server: Any, service: str, export: _Export) -> None:
    """A call is taken as a stream, of which the one message is read when we are ready for it."""
    method = grpc.stream_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))


async def _message(messages: AsyncIterator[bytes]) -> bytes:
    try:
        async with asyncio.timeout(_MESSAGE_DEADLINE_S):
            return await anext(messages)
    except TimeoutError as error:
        raise Refusal(Why.TOO_SLOW, f"the message did not arrive within {_MESSAGE_DEADLINE_S:.0f} s") from error


async def _refuse(name: str, _: AsyncIterator[bytes], context: Any) -> bytes:
    return await _abort(context, refuse(not_stored(name)))


async def _abort(context: Any, refusal: Refusal) -> bytes:
    details = (("grpc-status-details-bin", status(refusal).SerializeToString()),)
    await context.abort(_CODES[refusal.why.grpc], str(refusal), details)
    return b""
