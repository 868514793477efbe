"""Stands in for an OPA server: answers its Data API in the shapes that the documentation gives, and rules as Rego does.

What it decides comes from the embedded engine over the same bundle, so one test body serves both engines; what is its
own are the wire and the ways to fail. It is no OPA: docs/tested.md says so.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from governance.policy.bundle import Bundle
from governance.policy.interpreter import Compiled
from governance.policy.rego import QUERY
from governance.policy.ruling import BadPolicy

PATH = "/v1/data/fusebox/policy/decision"


class OpaServer:
    """``serve(bundle)`` replaces what it rules by; ``failing`` is the status it answers instead, ``garbled`` what,
    and it answers once ``ready`` is set; a ``trickle`` is an answer that never ends."""

    def __init__(self) -> None:
        self.compiled: Compiled | None = None
        self.revision = ""
        self.failing = 0
        self.garbled = b""
        self.trickle = False
        self.asked: list[dict[str, Any]] = []
        self.ready = threading.Event()
        self.ready.set()
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = server.answer(self.path, dict(self.headers), json.loads(body))
                self.send_response(status)
                self.send_header("content-length", str(1 << 20 if server.trickle else len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                while server.trickle and not self._gone():
                    time.sleep(0.1)

            def _gone(self) -> bool:
                try:
                    self.wfile.write(b" ")
                except OSError:
                    return True
                return False

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def serve(self, bundle: Bundle) -> None:
        """Rule by this from now on."""
        self.compiled, self.revision = Compiled(bundle.modules, bundle.data, QUERY), bundle.revision

    def answer(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        self.asked.append({"path": path, "headers": headers, "input": body["input"]})
        self.ready.wait(10)
        if self.failing or self.garbled:
            return self.failing or 200, self.garbled or b'{"code":"internal_error","message":"broken"}'
        with self.lock:
            found = self._result(body["input"])
        provenance = {"version": "1.8.0", "bundles": {"fusebox": {"revision": self.revision}}}
        told = {"decision_id": f"dec-{len(self.asked)}", "provenance": provenance, **found}
        return 200, json.dumps(told).encode()

    def _result(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.compiled is not None
        try:
            document = self.compiled.answer(question)
        except BadPolicy:
            document = None
        return {} if document is None else {"result": document}

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


@contextmanager
def opa_server() -> Iterator[OpaServer]:
    server = OpaServer()
    try:
        yield server
    finally:
        server.stop()
