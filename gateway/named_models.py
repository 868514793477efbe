"""Which models a request names: one may make its provider ask others than the one it is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_INSTEAD: Final = ("fallbacks", "models")
"""Fields with models that a provider, or a proxy, asks when the first does not answer."""
_OF_CLIENTS: Final = frozenset({None, "function", "custom"})
"""Types of tools that the provider does not run itself."""


def models_in(value: Any) -> Iterator[str]:
    """Every model that a value names, at any depth."""
    if isinstance(value, list):
        for each in value:
            yield from models_in(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name.lower() == "model" and not isinstance(each, dict):
                yield str(each)
            else:
                yield from models_in(each)


def others_in(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Models that a request has asked beside its own; each with the field in which it stands."""
    for field in _INSTEAD:
        for each in _list(body.get(field)):
            named = [each] if isinstance(each, str) else [*models_in(each)]
            yield from ((field, model) for model in named or [str(each)])
    for tool in _list(body.get("tools")):
        if isinstance(tool, dict) and tool.get("type") not in _OF_CLIENTS:
            yield from (("tools", model) for model in models_in(tool))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
