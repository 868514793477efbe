"""The dead man's heartbeat: all is well, again and again, to somebody who notices when it stops.

It is sent only while *watch* itself finds nothing wrong and every alert has reached somebody. It is not kept: one that
could not be delivered is followed by the next, and by silence, which is the alarm.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from collector.alerts.alert import Alert, Severity, iso
from collector.alerts.rules import HeartbeatRule
from collector.alerts.sinks import Fate, Outcome
from fusebox import happenings
from fusebox.clock import Clock

TYPE: Final = "fusebox.heartbeat"

MISSED: Final = happenings.declare(
    "heartbeat_missed", logging.ERROR, "a heartbeat was not sent: something is wrong, or its sink did not take it"
)


class Heartbeat:
    """Beats on a thread of its own; a :class:`fusebox.lifecycle.Service`.

    Args:
        failing: what is wrong, in sentences.
        send: delivers to a sink at once.
    """

    def __init__(
        self, rule: HeartbeatRule, clock: Clock, failing: Callable[[], list[str]],
        send: Callable[[Alert, str], Outcome],
    ) -> None:  # fmt: skip
        self._rule, self._clock, self._failing, self._send = rule, clock, failing, send
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def beat(self) -> bool:
        """Send one to every sink of the rule; False when one of them did not get it."""
        failing = self._failing()
        if failing:
            happenings.emit(MISSED, reason="; ".join(failing))
            return False
        now = self._clock.wall()
        alert = Alert(
            f"heartbeat_{now:.0f}", TYPE, iso(now), {"severity": Severity.INFO.value, "reason": "all is well"}
        )
        outcomes = {name: self._send(alert, name) for name in self._rule.sinks}
        missed = {name: each.detail for name, each in outcomes.items() if each.fate is not Fate.DELIVERED}
        if missed:
            happenings.emit(MISSED, sinks=missed)
        return not missed

    def _run(self) -> None:
        while not self._stopping.wait(self._rule.every_s):
            self.beat()
