"""OTLP over gRPC: the method ``Export`` of each signal, on raw bytes, into the same intake as HTTP.

A call is taken as a stream of one message, which is read when we are ready for it: the token is looked at first, and
who sends too much at once is told when to come again. (gRPC's own limit of calls answers RESOURCE_EXHAUSTED without
``RetryInfo``, upon which an exporter drops its data.) There are more threads than calls that may wait for their
message, and none waits longer than 30 s, so slow senders hold up nobody. Coroutines would need no threads, but took
twice the time for each call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final
from weakref import WeakSet

import grpc

from collector.receive.answers import response, status
from collector.receive.decode import Encoding
from collector.receive.inflate import MAX_BODY
from collector.receive.intake import Intake, refuse
from collector.receive.refusal import Refusal, Why, no_token
from collector.receive.signals import NOT_STORED, SIGNALS, Signal, not_stored
from collector.tokens import Tokens, bearer
from fusebox.ports import address, port_in_use

_MAX_CALLS: Final = 64
_MAX_BYTES: Final = 2 * MAX_BODY
"""Of messages that are being stored; what gRPC inflates, it inflates before we are asked."""
_SPARE_THREADS: Final = 8
_MESSAGE_DEADLINE_S: Final = 30.0
_LOOK_S: Final = 0.5
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_BODY),  # also what a compressed message may inflate to
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.max_concurrent_streams", 2 * _MAX_CALLS),  # of one connection
    ("grpc.max_allowed_incoming_connections", 256),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # exporters are often told to ping every 10 s
    ("grpc.keepalive_permit_without_calls", 1),  # also between exports
    ("grpc.so_reuseport", 0),
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

_Export = Callable[[Iterator[bytes], Any], bytes]


class GrpcDoor:
    """The gRPC server.

    Raises:
        PortInUse: another program listens there.
    """

    def __init__(self, intake: Intake, tokens: Tokens, host: str, port: int) -> None:
        self._intake = intake
        self._tokens = tokens
        self._calls = _Calls()
        self._server = grpc.server(ThreadPoolExecutor(_MAX_CALLS + _SPARE_THREADS, "fusebox-grpc"), options=_OPTIONS)
        for signal in SIGNALS:
            self._serve(signal.service, partial(self._export, signal))
        for name, service in NOT_STORED.items():
            self._serve(service, partial(_refuse, name))
        try:
            self.port: int = self._server.add_insecure_port(address(host, port))
        except RuntimeError as error:
            raise port_in_use(host, port, "grpc_port") from error

    def start(self) -> None:
        self._calls.start()
        self._server.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Refuse new calls, let running ones finish within ``timeout`` seconds."""
        self._server.stop(timeout).wait(timeout + 1)
        self._calls.stop()

    def _serve(self, service: str, export: _Export) -> None:
        method = grpc.stream_unary_rpc_method_handler(export)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))

    def _export(self, signal: Signal, messages: Iterator[bytes], context: Any) -> bytes:
        try:
            return self._take(signal, messages, context)
        except (StopIteration, grpc.RpcError):  # nobody is there to be answered
            if not self._calls.cut(context):
                refuse(Refusal(Why.MALFORMED, "the sender went away, or its message was too large for gRPC"))
            return b""
        except Exception as error:  # the sender gets one sentence; refuse() counts and logs
            _abort(context, refuse(error))
            raise

    def _take(self, signal: Signal, messages: Iterator[bytes], context: Any) -> bytes:
        sent = dict(context.invocation_metadata())
        principal = self._tokens.authenticate(bearer(sent.get("authorization")))
        if principal is None:
            raise no_token()
        with self._calls.admit():
            body = self._calls.message(messages, context)
            with self._calls.hold(len(body)):
                answer = self._intake.take(body, Encoding.PROTOBUF, principal, signal)
        return bytes(response(answer, signal).SerializeToString())


class _Calls:
    """Counts calls and the bytes they brought, and ends those whose message does not come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._bytes = 0
        self._waiting: dict[Any, float] = {}
        self._slow = WeakSet[Any]()  # a call may get its message at the last moment after all, and nobody asks then
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fusebox-grpc-slow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextlib.contextmanager
    def admit(self) -> Iterator[None]:
        """One call of those that may run.

        Raises:
            Refusal: there are enough.
        """
        with self._lock:
            if self._running >= _MAX_CALLS:
                raise Refusal(Why.BUSY, f"{_MAX_CALLS} calls are being answered; try again")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Keep a message of so many bytes (inflated, unlike over HTTP) until it is stored.

        Raises:
            Refusal: the messages of all calls are too much.
        """
        with self._lock:
            if self._bytes + size > _MAX_BYTES:
                raise Refusal(Why.BUSY, "too much is arriving at once; try again")
            self._bytes += size
        try:
            yield
        finally:
            with self._lock:
                self._bytes -= size

    def message(self, messages: Iterator[bytes], context: Any) -> bytes:
        """The message of a call; StopIteration or RpcError when there is none."""
        with self._lock:
            self._waiting[context] = time.monotonic()
        try:
            return next(messages)
        finally:
            with self._lock:
                del self._waiting[context]

    def cut(self, context: Any) -> bool:
        """True, once, for a call that was ended here because its message did not come."""
        with self._lock:
            cut = context in self._slow
            self._slow.discard(context)
            return cut

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            horizon = time.monotonic() - _MESSAGE_DEADLINE_S
            with self._lock:
                slow = [context for context, since in self._waiting.items() if since < horizon]
                self._slow.update(slow)
            for context in slow:
                refuse(Refusal(Why.TOO_SLOW, f"the message did not arrive within {_MESSAGE_DEADLINE_S:.0f} s"))
                context.cancel()


def _refuse(name: str, _: Iterator[bytes], context: Any) -> bytes:
    _abort(context, refuse(not_stored(name)))
    raise AssertionError("abort raises")


def _abort(context: Any, refusal: Refusal) -> None:
    context.set_trailing_metadata((("grpc-status-details-bin", status(refusal).SerializeToString()),))
    context.abort(_CODES[refusal.why.grpc], str(refusal))
