"""Query: a named statement with placeholders (see :mod:`collector.queries`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_PLACEHOLDER: Final = re.compile(r"\{(\w+):")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with placeholders, and the values of those that may be left out."""

    about: str
    sql: str
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> frozenset[str]:
        """Names of its placeholders."""
        return frozenset(_PLACEHOLDER.findall(self.sql))
