"""Paths that nothing serves, and where what was meant is served: base addresses differ between client libraries."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Final

from gateway.denied import Denied

_VERSION: Final = "v1"


def unserved(method: str, path: str, served: Collection[str], provider: str) -> Denied:
    """404.

    Args:
        served: the paths that are served.
        provider: one that speaks the API to which the path belongs; empty for none.
    """
    shown = path[:200]
    meant = "/".join(["", _VERSION, *(part for part in path.split("/") if part not in ("", _VERSION))])
    sentence = f"{method} {shown} is not served here"
    if meant in served:
        sentence += (
            f", but {meant} is; the base address of OpenAI's clients ends with /v1, that of Anthropic's has no path"
        )
    elif provider and path.startswith(f"/{_VERSION}/"):
        sentence += (
            f"; at /{provider}{shown} it is the provider's, where 'passthrough' in its section and the key allow that"
        )
    return Denied(HTTPStatus.NOT_FOUND, "not_found", sentence)
