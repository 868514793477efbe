"""uvicorn in a thread of its own, for the roles that speak HTTP without a framework."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from fusebox.certificates import ServerContext, Tls
from fusebox.connections import Connection
from fusebox.errors import ConfigError, FuseboxError

_READY_S: Final = 10.0
_POLL_S: Final = 0.01


class HttpServer:
    """uvicorn in a thread of its own, on a socket that already listens.

    Args:
        app: the ASGI application.
        connection: the class of its connections.
        lifespan: tell the application on its event loop when it begins and ends (ASGI's lifespan protocol).
        tls: speak HTTPS.

    Raises:
        ConfigError: a file of ``tls`` cannot be read.
    """

    def __init__(
        self, app: Callable[..., Any], connection: type[Connection] = Connection, *, lifespan: bool = False,
        tls: Tls | None = None,
    ) -> None:  # fmt: skip
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=connection,
                loop="uvloop",
                ws="none",
                lifespan="on" if lifespan else "off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nobody here asks whom a proxy speaks for
                timeout_keep_alive=60,
            )
        )
        self._server.config.load()
        try:
            self._server.config.ssl = ServerContext(tls) if tls else None
        except OSError as error:
            raise ConfigError(f"tls: a certificate or key cannot be used: {error}") from error
        self._thread: threading.Thread | None = None

    def start(self, sock: socket.socket) -> None:
        """Serve; returns once requests are answered.

        Raises:
            FuseboxError: the server ended at once.
        """
        self._thread = threading.Thread(target=self._server.run, args=([sock],), name="fusebox-http", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _READY_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise FuseboxError("the HTTP server did not start; its log says why")
            time.sleep(_POLL_S)

    def stop(self, timeout: float = 5.0) -> None:
        """Finish running requests within ``timeout`` seconds and end. Legal before start and twice."""
        self._server.config.timeout_graceful_shutdown = max(1, round(timeout))
        self._server.should_exit = True
        if self._thread:
            self._thread.join()
