"""OTLP over gRPC: the one method ``TraceService/Export``, on raw bytes, into the same intake as HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from collector.ports import address, port_in_use
from collector.receive.answers import response, status
from collector.receive.decode import Encoding
from collector.receive.inflate import MAX_BODY
from collector.receive.intake import Intake, refuse
from collector.receive.refusal import Refusal, no_token
from collector.tokens import Tokens, bearer

_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_MAX_CALLS: Final = 64
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_BODY),  # also what a compressed message may inflate to
    ("grpc.so_reuseport", 0),
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class GrpcDoor:
    """The gRPC server.

    Raises:
        PortInUse: another program listens there.
    """

    def __init__(self, intake: Intake, tokens: Tokens, host: str, port: int, workers: int) -> None:
        self._intake = intake
        self._tokens = tokens
        self._server = grpc.server(
            ThreadPoolExecutor(workers, "fusebox-grpc"), options=_OPTIONS, maximum_concurrent_rpcs=_MAX_CALLS
        )
        method = grpc.unary_unary_rpc_method_handler(self._export)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": method}),))
        try:
            self.port: int = self._server.add_insecure_port(address(host, port))
        except RuntimeError as error:
            raise port_in_use(host, port, "grpc_port") from error

    def start(self) -> None:
        self._server.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Refuse new calls, let running ones finish within ``timeout`` seconds."""
        self._server.stop(timeout).wait(timeout + 1)

    def _export(self, body: bytes, context: Any) -> bytes:
        try:
            return self._take(body, context)
        except Exception as error:  # the sender gets one sentence; refuse() counts and logs
            _abort(context, refuse(error))
            raise

    def _take(self, body: bytes, context: Any) -> bytes:
        sent = dict(context.invocation_metadata())
        principal = self._tokens.authenticate(bearer(sent.get("authorization")))
        if principal is None:
            raise no_token()
        return bytes(response(self._intake.take(body, Encoding.PROTOBUF, principal)).SerializeToString())


def _abort(context: Any, refusal: Refusal) -> None:
    context.set_trailing_metadata((("grpc-status-details-bin", status(refusal).SerializeToString()),))
    context.abort(_CODES[refusal.why.grpc], str(refusal))
