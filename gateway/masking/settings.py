"""What operators write about masking.

::

    [masking]
    regions = ["US", "GB", "DE", "FR"]      # whose national phone numbers are known; others need their +
    names.PERSON = ["Ada Lovelace", "Grace Hopper"]
    ner_model = "/models/en_core_web_md"    # a spaCy pipeline that is on disk; left out: none

    [masking.routes."*"]                    # the nearest of the routes that fit counts: exact, then the longest pattern
    default = "mask"                        # mask, hash, block or allow, for every type that is not named below
    restore = true
    types = { SECRET = "block", IP = "allow" }
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

GUARD: Final = "masking"
KEY_BYTES: Final = 32
STRUCTURED: Final = ("EMAIL", "CARD", "IBAN", "SSN", "PHONE", "IP", "SECRET")
"""The types that pattern, checksum and context decide."""

PERSON: Final = "PERSON"
_FROM_MODELS: Final = ("PERSON", "LOCATION", "ORGANIZATION", "NRP")


class Treatment(StrEnum):
    """What happens to a value that was found."""

    MASK = "mask"
    """A placeholder that stands for the same value all through a workflow, and can be restored."""
    HASH = "hash"
    """A keyed hash, the same in every workflow of the tenant, never restored."""
    BLOCK = "block"
    """The whole call is refused."""
    ALLOW = "allow"
    """The value stays."""


class RoutePolicy(BaseModel):
    """How one route treats what is found on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Treatment = Treatment.MASK
    types: dict[str, Treatment] = {}
    restore: bool = False

    def treatment(self, type_: str) -> Treatment:
        """What happens to values of a type."""
        return self.types.get(type_, self.default)


class MaskingSettings(BaseModel):
    """The section ``[masking]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    regions: tuple[str, ...] = ("US", "GB", "DE", "FR")
    names: dict[str, tuple[str, ...]] = {}
    ner_model: str | None = Field(default=None, min_length=1)
    routes: dict[str, RoutePolicy] = {"*": RoutePolicy()}

    @field_validator("names")
    @classmethod
    def _types_are_words(cls, names: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for type_ in names:
            if not (type_.isascii() and type_.isupper() and type_.isalpha()) or type_ in STRUCTURED:
                raise ValueError(f"names.{type_}: a type of names is capital letters only, and none of {STRUCTURED}")
        return names

    @model_validator(mode="after")
    def _known_types_and_a_last_resort(self) -> MaskingSettings:
        if "*" not in self.routes:
            raise ValueError('routes: "*" is missing: what is not matched by a route would have no policy')
        known = self.types
        for route, policy in self.routes.items():
            for type_ in policy.types:
                if type_ not in known:
                    raise ValueError(f"routes.{route}: {type_} is no type; there are {', '.join(sorted(known))}")
        return self

    @property
    def types(self) -> frozenset[str]:
        """Every type that may be found."""
        return frozenset((*STRUCTURED, *self.names, *(_FROM_MODELS if self.ner_model else ())))

    def policy(self, route: str) -> RoutePolicy:
        """The policy of a route."""
        return self.routes[nearest(route, self.routes)]


def nearest(route: str, patterns: Iterable[str]) -> str:
    """The pattern that fits best: the route itself, else the longest one; ``*`` always fits."""
    fitting = [pattern for pattern in patterns if fnmatchcase(route, pattern)]
    return max(fitting, key=lambda pattern: (pattern == route, len(pattern)))
