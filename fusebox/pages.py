"""``/healthz`` and ``/metrics`` of a role that serves nothing else over HTTP: a small server on a thread.

==================  ==============================================================================
``GET /healthz``    200 while the role does its work, 503 with the reason while it does not
``GET /metrics``    Prometheus text (:mod:`fusebox.metrics`)
==================  ==============================================================================

Neither asks for a token, as those of the other roles do not.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from fusebox.errors import ConfigError, PortInUse
from fusebox.metrics import TEXT, Gauge, Otel, render

_TIMEOUT_S: Final = 5.0


class Pages:
    """A :class:`fusebox.lifecycle.Service`.

    Args:
        host, port: where it listens; port 0 takes a free one.
        setting: the name of the setting that moves the port.
        trouble: why the role does not do its work, ``""`` while it does.
        samples: what ``/metrics`` shows beside the happenings.
    """

    def __init__(
        self,
        host: str,
        port: int,
        setting: str,
        trouble: Callable[[], str],
        samples: Callable[[], Iterable[Gauge | Otel]],
    ) -> None:
        self._host, self._port, self._setting = host, port, setting
        self._trouble, self._samples = trouble, samples
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            PortInUse: another program does so there.
            ConfigError: the address is none of this machine's.
        """
        try:
            self._server = _Server((self._host, self._port), self._answer)
        except OSError as error:
            kind = PortInUse if error.errno == errno.EADDRINUSE else ConfigError
            raise kind(
                f"cannot listen on {self._host}:{self._port} ({error.strerror}); set {self._setting} to a free port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="pages", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join(timeout)
            self._server.server_close()
            self._server = None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_address[1] if self._server else self._port

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/healthz":
            reason = self._trouble()
            return 503 if reason else 200, "application/json", json.dumps({"ok": not reason, "reason": reason}).encode()
        if path == "/metrics":
            return 200, TEXT, render(self._samples()).encode()
        return 404, "text/plain", b"there are /healthz and /metrics\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], answer: Callable[[str], tuple[int, str, bytes]]) -> None:
        self.answer = answer
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asks for a page and hangs up is no trouble of the role's."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        status, kind, body = self.server.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Prometheus asks every few seconds; that is no news."""
