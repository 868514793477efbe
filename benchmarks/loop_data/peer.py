"""``agent-sre``'s rogue-agent detector, in an environment of its own (``make bench-peers``)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.loop_data.scoring import Opens
from collector.backtest.common import Happened

PEER: Final = Path(".venv/peers/agent-sre/bin/python")
_SCRIPT: Final = Path("benchmarks/peers/agent_sre_detector.py")


def assessed(events: list[Happened]) -> Opens:
    """Where it recommends quarantine, with its default configuration."""
    lines = "".join(
        json.dumps([f"{one.run}\x00{one.event.agent}", one.event.operation, one.event.target, one.event.time]) + "\n"
        for one in events
    )
    answer = subprocess.run(
        [PEER, _SCRIPT], input=lines, capture_output=True, text=True, check=True, timeout=900
    ).stdout
    opened: Opens = {}
    for number in map(int, answer.split()):
        opened.setdefault((events[number].run, events[number].event.agent), events[number])
    return opened
