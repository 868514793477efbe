"""The smallest HTTP the demonstration needs: a threaded JSON server and a JSON client, loopback only.

The client does not look at proxy variables: everything it talks to runs on this machine.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from fusebox import happenings
from fusebox.errors import BadMessage, Permanent, Retryable

Json = dict[str, Any]
LOOPBACK: Final = "127.0.0.1"
_MAX_BODY: Final = 1 << 20
_TIMEOUT_S: Final = 10.0

ANSWER_FAILED: Final = happenings.declare(
    "demo_answer_failed", logging.ERROR, "a server of the demo raised; it said 500"
)


class ServiceRefused(Permanent):
    """A server of the demonstration answered 4xx; the text is its own sentence.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class ServiceUnavailable(Retryable):
    """A server of the demonstration does not answer, or answered 5xx."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``path`` is split at the slashes, without empty parts."""

    method: str
    path: tuple[str, ...]
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""

    def json(self) -> Json:
        """The body as a JSON object.

        Raises:
            BadMessage: it is none.
        """
        try:
            data = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadMessage(f"the body is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise BadMessage("the body must be a JSON object")
        return data


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: JSON data, or an iterator of server-sent event texts."""

    body: object
    status: HTTPStatus = HTTPStatus.OK


Respond = Callable[[Request], Answer]


def not_found(request: Request) -> Answer:
    """The answer to a path nobody serves."""
    return Answer({"error": f"no {request.method} /{'/'.join(request.path)} here"}, HTTPStatus.NOT_FOUND)


class WebServer:
    """Answers HTTP on a loopback port with ``respond``, one thread a connection.

    Args:
        respond: what to answer. A :class:`BadMessage` becomes 400, anything else it raises 500 (counted).
        port: 0 takes a free one.
    """

    def __init__(self, respond: Respond, port: int = 0) -> None:
        self._server = _Server((LOOPBACK, port), respond)
        self._thread: threading.Thread | None = None
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="demo-web", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End; legal before start and twice."""
        if self._thread:
            self._server.shutdown()
            self._thread.join(timeout)
            self._thread = None
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], respond: Respond) -> None:
        self.respond = respond
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is its own business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Access lines would bury the story."""

    def _serve(self) -> None:
        answer = self._answer()
        if isinstance(answer.body, Iterator):
            self._stream(answer.body)
        else:
            self._send(answer.status, json.dumps(answer.body).encode())

    def _answer(self) -> Answer:
        try:
            return self.server.respond(self._request())
        except BadMessage as error:
            return Answer({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except Exception as error:  # one bad request must not end the server
            happenings.emit(ANSWER_FAILED, path=self.path, error=repr(error))
            return Answer({"error": repr(error)}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _request(self) -> Request:
        path = tuple(part for part in urlsplit(self.path).path.split("/") if part)
        return Request(self.command, path, self._body(), {k.lower(): v for k, v in self.headers.items()})

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > _MAX_BODY:
            self.close_connection = True
            raise BadMessage(f"a body of {length} bytes is refused; send at most {_MAX_BODY}")
        return self.rfile.read(int(length))

    def _send(self, status: HTTPStatus, payload: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, events: Iterator[str]) -> None:
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {event}\n\n".encode())


def call(method: str, url: str, body: object = None) -> Json:
    """One JSON request on a connection of its own.

    Raises:
        ServiceRefused: the answer is 4xx.
        ServiceUnavailable: nobody answers, or the answer is 5xx.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or LOOPBACK, parts.port, timeout=_TIMEOUT_S)
    try:
        payload = None if body is None else json.dumps(body).encode()
        connection.request(method, parts.path, payload, {"content-type": "application/json"})
        response = connection.getresponse()
        return _read(url, response.status, json.loads(response.read()))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceUnavailable(f"{url} does not answer: {error!r}") from error
    finally:
        connection.close()


def post_bytes(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Json]:
    """Post what somebody has signed as it is; status and body of the answer, whatever it says.

    Raises:
        ServiceUnavailable: nobody answers.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or LOOPBACK, parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", parts.path, body, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServiceUnavailable(f"{url} does not answer: {error!r}") from error
    finally:
        connection.close()


def _read(url: str, status: int, data: Json) -> Json:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ServiceUnavailable(f"{url}: {data.get('error')}")
    if status >= HTTPStatus.BAD_REQUEST:
        raise ServiceRefused(status, f"{url}: {data.get('error')}")
    return data
