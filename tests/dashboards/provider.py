"""A small OpenID Connect provider (Core 1.0, code flow with PKCE, RS256): whoever comes is the person it was told."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "fusebox", "the-client-secret"
Json = dict[str, Any]


class Provider:
    """Signs in ``person`` (claims)."""

    url: str

    def __init__(self) -> None:
        self.person: Json = {}
        self.down = False
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self._codes: dict[str, dict[str, str]] = {}

    def metadata(self) -> Json:
        """OpenID Connect Discovery 1.0."""
        ends = {"authorization": "authorize", "token": "token"}
        return {
            "issuer": self.url, "jwks_uri": f"{self.url}/jwks",
            **{f"{name}_endpoint": f"{self.url}/{path}" for name, path in ends.items()},
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
        }  # fmt: skip

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the person is sent back to."""
        assert asked["client_id"] == CLIENT
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, authorization: str, form: dict[str, str]) -> Json:
        """An id token for a code that was not used before, by the client that has the secret and the verifier."""
        asked = self._codes.pop(form["code"])
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        assert (unquote(user), unquote(password)) == (CLIENT, SECRET)
        assert challenge.decode() == asked["code_challenge"]
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"], **self.person,
        }  # fmt: skip
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "id_token": signed}


@contextmanager
def providing(provider: Provider) -> Iterator[Provider]:
    """``provider`` behind a real port; ``provider.url`` says which."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if provider.down:
                self.send_error(503)
            elif parts.path == "/authorize":
                self.send_response(302)
                self.send_header("location", provider.authorize(_single(parts.query)))
                self.end_headers()
            else:
                keys = {"keys": [provider.key.as_dict(private=False)]}
                self._reply(keys if parts.path == "/jwks" else provider.metadata())

        def do_POST(self) -> None:
            form = _single(self.rfile.read(int(self.headers["content-length"])).decode())
            self._reply(provider.token(self.headers["authorization"], form))

        def _reply(self, body: Json) -> None:
            payload = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def _single(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
