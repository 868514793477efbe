"""The end of the demonstration: figures, whether the story held, and what to try next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from examples.demo_incident import Incident
from examples.demo_people import Response
from examples.demo_sql import Totals

MAX_COMMENTS: Final = 6
MIN_UNPROTECTED: Final = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """All figures. ``incident`` and ``response`` are None when only the unprotected twin was played."""

    totals: Totals
    unprotected_comments: int
    incident: Incident | None = None
    response: Response | None = None
    actions_from_onset: int = 0
    """What the stopped agent did (publishes, model and tool calls) from the first action of the evidence on."""

    def json(self) -> dict[str, Any]:
        """The object of ``--json``."""
        incident, response = self.incident, self.response
        return {
            "messages": self.totals.messages,
            "spans_stored": self.totals.spans,
            "tokens": self.totals.tokens,
            "cost_usd": float(self.totals.cost),
            "trip": self._trip(),
            "unprotected_comments": self.unprotected_comments,
            "comments": incident.comments if incident else None,
            "alerts_delivered": response.alerts if response else 0,
            "kill_seconds": round(response.kill_seconds, 3) if response else None,
            "held": incident.held if incident else 0,
            "resumed_delivered": response.resumed_delivered if response else 0,
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """What a person reads."""
        yield "messages", f"{self.totals.messages} handled, {self.totals.spans} spans stored"
        yield "models", f"{self.totals.tokens:,} tokens, $ {self.totals.cost:.4f}"
        if self.incident and self.response:
            yield from self._story(self.incident, self.response)
        yield "without Fusebox", f"{self.unprotected_comments} comments, until a bound ended it"

    def failures(self) -> list[str]:
        """What of the story did not hold, as sentences."""
        checks = [
            (self.unprotected_comments > MIN_UNPROTECTED,
             f"the unprotected twin wrote {self.unprotected_comments} comments, not more than {MIN_UNPROTECTED}"),
            (self.totals.spans > 0, "no span was stored"),
            (self.totals.cost > 0, "no cost was counted"),
        ]  # fmt: skip
        if self.incident and self.response:
            checks += self._protected_checks(self.incident, self.response)
        return [sentence for held, sentence in checks if not held]

    def _protected_checks(self, incident: Incident, response: Response) -> list[tuple[bool, str]]:
        return [
            (bool(incident.trip), "no circuit opened"),
            (incident.comments <= MAX_COMMENTS, f"{incident.comments} comments, more than {MAX_COMMENTS}"),
            (response.alerts > 0, "no alert was delivered"),
            (incident.held > 0, "no message was held"),
            (response.resumed_delivered == incident.held,
             f"only {response.resumed_delivered} of {incident.held} held messages were delivered after the resume"),
        ]  # fmt: skip

    def _trip(self) -> dict[str, Any] | None:
        if not self.incident or not self.incident.trip:
            return None
        return {
            "agent": self.incident.agent,
            "detector": self.incident.detector,
            "actions_from_onset": self.actions_from_onset,
            "seconds_from_onset": round(self.incident.seconds, 3),
        }

    def _story(self, incident: Incident, response: Response) -> Iterator[tuple[str, str]]:
        yield "trip", f"{incident.agent}, by {incident.detector}: {incident.trip['reason']}"
        yield "evidence", f"{incident.finding.get('repeated', '')}, {len(incident.finding.get('spans', ()))} spans"
        yield (
            "time to trip",
            f"{incident.seconds:.1f} s and {self.actions_from_onset} actions from onset, {incident.comments} comments",
        )
        yield "alerts", f"{response.alerts} delivered"
        yield "kill, resume", f"{response.kill_seconds:.3f} s, {response.resume_seconds:.3f} s until all confirmed"
        yield "held messages", f"{incident.held} held, {response.resumed_delivered} delivered after the resume"
