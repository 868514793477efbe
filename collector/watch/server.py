"""An ASGI application behind uvicorn, on a thread, as a service."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from fusebox.errors import FuseboxError

_READY_S: Final = 10.0
_GRACE_S: Final = 2
_IDLE_S: Final = 30
_MAX_CONNECTIONS: Final = 4_000


class ServerFailed(FuseboxError):
    """The HTTP server did not come up."""


class HttpServer:
    """Serves ``app`` on a socket that listens already; a :class:`fusebox.lifecycle.Service`."""

    def __init__(self, app: ASGIApp, sock: socket.socket, name: str) -> None:
        self._sock = sock
        config = uvicorn.Config(
            app, log_config=None, log_level=logging.WARNING, access_log=False, server_header=False, lifespan="off",
            timeout_keep_alive=_IDLE_S, timeout_graceful_shutdown=_GRACE_S, limit_concurrency=_MAX_CONNECTIONS,
            ws="none",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()
        waited = 0.0
        while not self._server.started:
            self._thread.join(0.01)
            waited += 0.01
            if not self._thread.is_alive() or waited > _READY_S:
                raise ServerFailed("the HTTP server did not start; see the lines above")

    def stop(self, timeout: float = 10.0) -> None:
        self._server.should_exit = True
        if self._thread.ident:
            self._thread.join(timeout)
        self._sock.close()

    @property
    def running(self) -> bool:
        """True while it serves."""
        return self._thread.is_alive()

    def _run(self) -> None:
        self._server.run(sockets=[self._sock])
