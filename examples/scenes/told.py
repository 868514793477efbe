"""Told: what a scene has shown, claim by claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from examples.demo_screen import Screen


@dataclass
class Told:
    """Claims of one scene, and figures beside them."""

    scene: str
    screen: Screen
    claims: list[tuple[str, bool]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def claim(self, sentence: str, held: bool) -> None:
        """Say whether something held."""
        self.claims.append((sentence, held))
        self.screen.event("held" if held else "did not hold", sentence, "green" if held else "bold red")

    @property
    def failures(self) -> list[str]:
        """What did not hold."""
        return [sentence for sentence, held in self.claims if not held]

    def json(self) -> dict[str, Any]:
        """For machines."""
        return {"scene": self.scene, "held": not self.failures, "claims": dict(self.claims), **self.figures}


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: a sentence, and how it is played."""

    about: str
    play: Callable[..., None]
