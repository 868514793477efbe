"""The adapter of each kind of provider."""

from __future__ import annotations

from typing import Final

from gateway.providers.base import Adapter, Anthropic, Azure
from gateway.upstream_settings import Kind, Provider

_KEYED: Final = {Kind.OPENAI: Adapter, Kind.ANTHROPIC: Anthropic, Kind.AZURE: Azure}


def make_adapter(name: str, settings: Provider) -> Adapter:
    """The adapter of a section.

    Raises:
        ConfigError: its credential is missing.
    """
    if settings.kind is Kind.BEDROCK:
        from gateway.providers.bedrock import Bedrock  # botocore takes half a second, that others do not pay

        return Bedrock(name, settings)
    return _KEYED[settings.kind](name, settings, settings.credential(f"providers.{name}"))
