"""Through the gateway: how the mesh's agents reach models and internal systems, with a virtual key and nothing else."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import trace

from examples.web import ServiceUnavailable
from fusebox import names
from rabbitmq import tracing

_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Said:
    """What the gateway answered."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The gateway's word for a refusal; empty when it is none."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("code", "")) if isinstance(error, dict) else ""


class Through:
    """One agent's way through the gateway.

    Args:
        url: of the gateway.
        key: the agent's virtual key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._parts, self._key = urlsplit(url), key

    def tool(
        self, name: str, path: str, body: object, *, workflow: str = "", approval: str = "", once: str = ""
    ) -> Said:  # fmt: skip
        """``POST`` to an internal system.

        Args:
            workflow: what the call belongs to.
            approval: id of the approval under which it was agreed to.
            once: idempotency key.

        Raises:
            ServiceUnavailable: the gateway does not answer.
        """
        named = {names.HTTP_WORKFLOW: workflow, names.HTTP_APPROVAL: approval, "idempotency-key": once}
        return self._post(f"/tools/{name}/{path}", body, {name: value for name, value in named.items() if value})

    def chat(self, model: str, text: str, workflow: str = "") -> Said:
        """One question to a model, without any library.

        Raises:
            ServiceUnavailable: the gateway does not answer.
        """
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 200}
        return self._post("/v1/chat/completions", body, {names.HTTP_WORKFLOW: workflow} if workflow else {})

    def _post(self, path: str, body: object, headers: Mapping[str, str]) -> Said:
        connection = http.client.HTTPConnection(str(self._parts.hostname), self._parts.port, timeout=_TIMEOUT_S)
        traced = tracing.headers_of(trace.get_current_span().get_span_context())
        sent = {"authorization": f"Bearer {self._key}", "content-type": "application/json", **headers, **traced}
        try:
            connection.request("POST", path, json.dumps(body), {name: str(value) for name, value in sent.items()})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Said(response.status, json.loads(response.read() or b"null"), told)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceUnavailable(f"the gateway does not answer {path}: {error!r}") from error
        finally:
            connection.close()
