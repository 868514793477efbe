"""Adapter: turns what an agent asked into the request of one provider, and its stream into events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

import orjson

from gateway.denied import Denied, bad_request
from gateway.dialects import Ask, Chat, Dialect, Messages, Wire
from gateway.providers.chat_over_messages import ChatOverMessages
from gateway.providers.messages_over_chat import MessagesOverChat
from gateway.providers.translation import Native, Translation
from gateway.sse import Splitter
from gateway.upstream_settings import Kind, Provider

Headers = dict[str, str]
PASSED_ON: Final = ("anthropic-version", "anthropic-beta", "openai-beta")
"""Headers of a client that reach the provider; all others are the gateway's own."""
_ANTHROPIC_VERSION: Final = "2023-06-01"
_OWN: Final[Mapping[Wire, Dialect]] = {Wire.OPENAI: Chat(), Wire.ANTHROPIC: Messages()}
_NEWEST: Final = (".openai.com", ".azure.com")
"""Hosts that read the newer name of a chat's limit, and may refuse the older one."""
_NAMES: Final = {Kind.AZURE: "azure.ai.openai", Kind.BEDROCK: "aws.bedrock"}


class Outgoing(NamedTuple):
    """One HTTP request, complete but for what the transport adds."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Frames(Protocol):
    """Cuts a provider's stream into server-sent events."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that end in ``chunk``."""

    def end(self) -> list[bytes]:
        """The event that is whole but for its end, where the stream stops behind it."""


class Adapter:
    """One configured provider; subclasses say what is special about theirs.

    Args:
        name: of its section.
        settings: the section.
        credential: the secret; empty when the provider asks for none.
    """

    wire = Wire.OPENAI
    _model_in_path: re.Pattern[str] | None = None

    def __init__(self, name: str, settings: Provider, credential: str) -> None:
        self.name, self.settings = name, settings
        self.provider = _NAMES.get(settings.kind, name if settings.url else settings.kind.value)
        """``gen_ai.provider.name``; an address of one's own makes it one's own provider."""
        self._credential = credential
        host = urlsplit(settings.home).hostname or ""
        self._reads_either = settings.kind is Kind.OPENAI and not host.endswith(_NEWEST)

    def translation(self, dialect: Dialect) -> Translation:
        """How a request of ``dialect`` becomes one of this provider.

        Raises:
            Denied: 400, it does not.
        """
        if dialect.wire is self.wire:
            return Native()
        if isinstance(dialect, Chat):
            return ChatOverMessages()
        if isinstance(dialect, Messages):
            return MessagesOverChat()
        raise bad_request(
            f"provider {self.name} does not serve this API; ask its models at /v1/messages or /v1/chat/completions"
        )

    def spoken(self, dialect: Dialect) -> Dialect:
        """What is spoken with the provider where the agent speaks ``dialect``."""
        return dialect if dialect.wire is self.wire else _OWN[self.wire]

    def outgoing(self, dialect: Dialect, translation: Translation, model: str, ask: Ask, client: Headers) -> Outgoing:
        """The request for ``model`` as this provider calls it.

        Raises:
            Denied: 400, it cannot be asked of this provider.
        """
        try:
            told = translation.request(ask)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            sentence = f"the request lacks what its API asks for, and cannot be translated: {error!r}"
            raise bad_request(sentence[:300]) from None
        client = client if translation.native else {}
        body = self._body(told, ask, model, client)
        place = self._place(self.spoken(dialect).path, model, ask)
        return self._sealed("POST", place, body, client)

    def own_body(self, ask: Ask) -> bytes:
        """The body for a request that is passed through."""
        told = self._held(ask.body, ask)
        return ask.bytes() if told is ask.body else orjson.dumps(told)

    def model_in(self, path: str) -> str:
        """The model that a path names, whatever the body says; empty where paths name none."""
        found = self._model_in_path.search(path) if self._model_in_path else None
        return found[1] if found else ""

    def passed_through(self, method: str, path: str, query: str, body: bytes, client: Headers) -> Outgoing:
        """Any request below the provider's address, as it is."""
        home = self.settings.home
        if home.endswith("/v1"):  # clients differ in whether the version is part of their base address
            path = path.removeprefix("v1/")
        url = f"{home}/{path}" + (f"?{query}" if query else "")
        return self._sealed(method, url, body, client)

    def frames(self) -> Frames:
        """A cutter for one stream."""
        return Splitter()

    # --- what is special --------------------------------------------------------------------------------------------
    def _body(self, body: Mapping[str, Any], ask: Ask, model: str, client: Headers) -> bytes:  # noqa: ARG002
        told = self._held(body, ask)
        if told is ask.body and told.get("model") == model:
            return ask.bytes()
        return orjson.dumps({**told, "model": model})

    def _held(self, body: Mapping[str, Any], ask: Ask) -> Mapping[str, Any]:
        """A chat's limit under both its names, where nobody knows which of them the server reads."""
        limit = body.get("max_completion_tokens")
        if not (ask.held and self._reads_either and limit) or body.get("max_tokens"):
            return body
        return {**body, "max_tokens": limit}

    def _place(self, path: str, model: str, ask: Ask) -> str:  # noqa: ARG002 - for subclasses
        return self.settings.home + path

    def _sealed(self, method: str, url: str, body: bytes, client: Headers) -> Outgoing:
        kind = {"content-type": "application/json"} if body else {}
        return Outgoing(method, url, {**kind, **self._auth(), **client}, body)

    def _auth(self) -> Headers:
        return {"authorization": f"Bearer {self._credential}"} if self._credential else {}


class Anthropic(Adapter):
    """Anthropic itself, and whatever speaks its API."""

    wire = Wire.ANTHROPIC

    def _auth(self) -> Headers:
        key = {"x-api-key": self._credential} if self._credential else {}
        return {"anthropic-version": _ANTHROPIC_VERSION, **key}


class Azure(Adapter):
    """Azure OpenAI: the deployment stands in the path, the version in the query."""

    _NEW = "2024-09-01"
    """The version that brought ``stream_options`` and ``max_completion_tokens``; older ones refuse both."""
    _model_in_path = re.compile(r"(?:^|/)deployments/+([^/]+)", re.IGNORECASE)

    def _held(self, body: Mapping[str, Any], ask: Ask) -> Mapping[str, Any]:
        """What the gateway has put in, as an older version knows it."""
        if self.settings.api_version >= self._NEW:
            return body
        ours = {"stream_options"} if ask.hide_usage or body is not ask.body else set()
        told = {name: value for name, value in body.items() if name not in ours}
        if "max_completion_tokens" in told and (ask.held or body is not ask.body):
            told["max_tokens"] = max(told.pop("max_completion_tokens"), told.get("max_tokens") or 0)
        return told

    def _place(self, path: str, model: str, ask: Ask) -> str:  # noqa: ARG002 - the hook's
        version = f"api-version={quote(self.settings.api_version, safe='')}"
        if path == "/responses":  # served without a deployment in the path; the body names it
            return f"{self.settings.home}/openai/responses?{version}"
        return f"{self.settings.home}/openai/deployments/{quote(model, safe='')}{path}?{version}"

    def passed_through(self, method: str, path: str, query: str, body: bytes, client: Headers) -> Outgoing:
        if "api-version=" not in query:
            version = f"api-version={quote(self.settings.api_version, safe='')}"
            query = f"{query}&{version}" if query else version
        return super().passed_through(method, path, query, body, client)

    def _auth(self) -> Headers:
        return {"api-key": self._credential}


def upstream_said(denied: Denied) -> Denied:
    """In words, what a provider says in another shape than that of the API the agent speaks."""
    try:
        told = _sentence(orjson.loads(denied.words))
    except orjson.JSONDecodeError:
        told = ""
    sentence = f"the provider refuses: {told[:500] or f'HTTP status {denied.status}'}"
    return Denied(
        denied.status, "upstream_error", sentence, retry_after=denied.retry_after, headers=denied.headers
    )  # fmt: skip


def _sentence(told: Any) -> str:
    """What an error says, wherever it stands: servers do not agree on that."""
    if not isinstance(told, dict):
        return told if isinstance(told, str) else ""
    return next(filter(None, (_sentence(told.get(name)) for name in ("error", "message", "detail"))), "")
