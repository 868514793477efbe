"""Systems: what is asked by its own paths, be it an internal system or a provider, and who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gateway.breaker import Circuit
from gateway.denied import Denied
from gateway.keys import ANY, Identity
from gateway.named_models import models_in, others_in
from gateway.providers.base import Adapter, Headers, Outgoing
from gateway.upstream_settings import Tool, Upstream


@dataclass(frozen=True, slots=True)
class System:
    """What is asked by its own paths."""

    name: str
    settings: Upstream
    methods: frozenset[str]
    circuit: Circuit
    outgoing: Callable[[str, str, str, bytes, Headers], Outgoing]
    """From method, path, query, body and the client's headers."""
    model_in: Callable[[str], str] = lambda _: ""
    """The model that a path names; empty for none."""
    secret: str = ""
    """The credential of one of our own, without what stands before it."""
    internal: bool = False
    """True for one of our own: it is told who acts, and in which trace."""


def allowed(systems: Mapping[str, System], identity: Identity, name: str, method: str) -> System:
    """
    Raises:
        Denied: there is no such system, or not for this key or method.
    """
    system = systems.get(name)
    if system is None:
        known = ", ".join(each for each in systems if identity.may_use_tool(each)) or "none"
        raise Denied(HTTPStatus.NOT_FOUND, "tool_not_found", f"no tool {name!r} here; this key may use {known}")
    if not identity.may_use_tool(name):
        sentence = f"the key of {identity.agent} does not allow the tool {name!r}; its operator can"
        raise Denied(HTTPStatus.FORBIDDEN, "tool_not_allowed", sentence)
    if method not in system.methods:
        sentence = f"{method} is not among the methods of tool {name!r}: {', '.join(sorted(system.methods))}"
        raise Denied(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", sentence)
    return system


def require_model(identity: Identity, model: str) -> None:
    """
    Raises:
        Denied: 403, it is not for this key.
    """
    if not identity.may_use_model(model):
        sentence = f"the key of {identity.agent} does not allow {model[:200]!r}; its operator can"
        raise Denied(HTTPStatus.FORBIDDEN, "model_not_allowed", sentence)


def require_models(identity: Identity, path_model: str, body: Any) -> None:
    """Every model that a path or a body names, at any depth, must be one that the key allows.

    Args:
        body: what it says; None for an empty one. In anything but a JSON object that names a model nobody can tell
            what it makes the provider do: only a key for every model may send it.

    Raises:
        Denied: 403, it is not for this key.
    """
    if identity.may_use_model(ANY):
        return
    asked = [*([path_model] if path_model else []), *models_in(body)]
    if body is not None and not asked:
        sentence = (
            f"the key of {identity.agent} allows some models only, and this body names none that could be checked; "
            "send it with a key for every model (--model '*')"
        )
        raise Denied(HTTPStatus.FORBIDDEN, "model_not_allowed", sentence)
    for model in asked:
        require_model(identity, model)


def require_others(identity: Identity, body: Mapping[str, Any]) -> None:
    """Models that a request for a model has asked beside it must be ones that the key allows.

    Raises:
        Denied: 403, one is not for this key.
    """
    if identity.may_use_model(ANY):
        return
    for _, model in others_in(body):
        require_model(identity, model)


def of_provider(name: str, adapter: Adapter, circuit: Circuit) -> System:
    """A provider, for its paths that are no inference."""
    told = adapter.settings
    return System(name, told, told.passthrough, circuit, adapter.passed_through, adapter.model_in)


def of_tool(name: str, tool: Tool, circuit: Circuit) -> System:
    """An internal system.

    Raises:
        ConfigError: its credential is missing.
    """
    secret = tool.credential(f"tools.{name}")
    auth = {tool.header: f"{tool.scheme} {secret}".strip()} if secret else {}

    def outgoing(method: str, path: str, query: str, body: bytes, client: Headers) -> Outgoing:
        url = f"{tool.url.rstrip('/')}/{path}" + (f"?{query}" if query else "")
        return Outgoing(method, url, {**client, **auth}, body)

    return System(name, tool, tool.methods, circuit, outgoing, secret=secret, internal=True)
