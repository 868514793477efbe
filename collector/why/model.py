"""What an answer of ``fusebox why`` consists of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from fusebox.errors import FuseboxError

Row = Mapping[str, Any]
"""A span, or an entry of the audit log, as the named queries give it."""
Place = str
"""``trace_id:span_id``."""


class NotFound(FuseboxError):
    """Nothing stored has this id."""


class Direction(StrEnum):
    """Which way the walk goes."""

    BACK = "back"
    """From an effect to what led to it."""
    FORWARD = "forward"
    """From a cause to everything it touched."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model call that came before an effect. Texts are empty unless content capture is on."""

    model: str
    span_id: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """An entry of the audit log about a step: a guard's verdict, a trip, or the person who last let the agent act."""

    writer: str
    seq: int
    time: float
    kind: str
    actor: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """One span on the way. ``next_to`` is the place of the step from which the walk came here, empty for the first."""

    name: str
    agent: str
    kind: str
    start: float
    trace_id: str
    span_id: str
    detail: str
    """Arguments of a tool call, or the id of a message."""
    target: str
    """What a tool call works on."""
    failed: bool
    next_to: Place = ""
    model_calls: tuple[ModelCall, ...] = ()
    rulings: tuple[Ruling, ...] = ()

    @property
    def place(self) -> Place:
        """Where it is."""
        return f"{self.trace_id}:{self.span_id}"


@dataclass(frozen=True, slots=True)
class Why:
    """The steps, the one that was asked about first, each behind the one it is next to."""

    asked: str
    direction: Direction
    steps: tuple[Step, ...]
    entry: Ruling | None = None
    """The entry of the audit log that was asked about."""
    gaps: tuple[str, ...] = ()
    """What is missing from the answer, in sentences."""

    @property
    def complete(self) -> bool:
        """True when the walk came to every end: an origin, or nothing that followed."""
        return not self.gaps

    @property
    def cause(self) -> ModelCall | None:
        """The nearest model call: the prompt that caused the effect."""
        return next((call for step in self.steps for call in reversed(step.model_calls)), None)

    def touched(self) -> list[tuple[str, str, str, int]]:
        """Agent, what it did, on what, and how often: of every step."""
        counts = Counter((step.agent, step.name, step.target) for step in self.steps)
        return [(*what, count) for what, count in sorted(counts.items())]

    def json(self) -> dict[str, Any]:
        """Plain data."""
        touched = [dict(zip(("agent", "did", "target", "times"), each, strict=True)) for each in self.touched()]
        cause = asdict(self.cause) if self.cause else None
        return {**asdict(self), "complete": self.complete, "cause": cause, "touched": touched}
