"""What the generators are made of: rows in the common form, word salad, and a clock.

Every parameter is drawn anew for each case, so that a detector cannot learn a generator by heart. The kinds of
:mod:`benchmarks.loop_data.loops`, :mod:`~benchmarks.loop_data.work` and :mod:`~benchmarks.loop_data.more` were looked
at while rules were tuned; those of :mod:`~benchmarks.loop_data.untouched` were not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Final

Row = dict[str, Any]
Rows = Iterator[Row]
Generator = Callable[["Maker"], Rows]

_NOUNS: Final = (
    "order", "invoice", "shipment", "harbour", "container", "customs", "delay", "refund", "carrier", "pallet", "draft",
    "warehouse", "supplier", "margin", "audit", "budget", "contract", "vendor", "meeting", "forecast", "batch", "crane",
    "manifest", "tariff", "route", "driver", "depot", "stock", "label", "weather", "port", "ledger", "review", "ticket",
    "outage", "incident", "server", "cluster", "index", "schema", "query", "report", "comment", "approval", "licence",
    "check", "update", "move", "approve", "reject", "compare", "merge", "split", "assign", "archive", "confirm",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One generator: its name, whether its rows are a loop, and the operations an owner would declare periodic."""

    name: str
    make: Generator
    loop: bool
    periodic: tuple[str, ...] = ()


class Maker:
    """Draws the parts of one case."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self._time = 1_760_000_000.0 + self.random.uniform(0, 1e6)
        self._seq = count()
        self.traced = self.random.random() < 0.5
        """Half of all cases keep their trace; the others lose it at each hop."""
        self._trace = self._new_trace()
        self.tokens = self.random.randrange(300, 3000)

    def pause(self, low: float, high: float) -> None:
        """Let time pass: between ``low`` and ``high`` seconds."""
        self._time += self.random.uniform(low, high)

    def turn(self) -> None:
        """Another conversation begins, with a trace of its own."""
        self._trace = self._new_trace()

    def words(self, number: int) -> str:
        """Word salad."""
        return " ".join(self.random.choice(_NOUNS) for _ in range(number))

    def agents(self, number: int) -> list[str]:
        """Names of agents that never met before."""
        return [f"ag-{self.random.getrandbits(32):08x}" for _ in range(number)]

    def paraphrase(self, text: str) -> str:
        """The same in a slightly other order, one or two words replaced, a filler in front."""
        words = text.split()
        for _ in range(self.random.randrange(1, 3)):
            words[self.random.randrange(len(words))] = self.random.choice(_NOUNS)
        at = self.random.randrange(len(words) - 1)
        words[at], words[at + 1] = words[at + 1], words[at]
        return f"{self.random.choice(('Please', 'Kindly', 'Again:', 'As said,', ''))} {' '.join(words)}".strip()

    def row(
        self,
        agent: str,
        operation: str,
        target: str,
        payload: str,
        result: str,
        *,
        ok: bool = True,
        grow: int = 60,
        tokens: int | None = None,
    ) -> Row:
        """One event; the context grows by ``grow`` tokens unless ``tokens`` are given."""
        self.tokens += grow
        shown = tokens if tokens is not None else self.tokens
        trace = self._trace if self.traced else self._new_trace()
        return {
            "ts": round(self._time, 3), "seq": next(self._seq), "trace": trace, "parent": None, "agent": agent,
            "operation": operation, "target": target, "payload": payload[:240], "payload_len": len(payload),
            "payload_sha": _sha(payload), "result_head": result[:120], "result_len": len(result),
            "result_sha": _sha(result), "input_tokens": shown, "output_tokens": len(payload) // 4 if shown else 0,
            "cost_usd": shown * 1e-6, "latency_ms": 5 if not shown else 400 + len(payload),
            "status": "ok" if ok else "error",
        }  # fmt: skip

    def _new_trace(self) -> str:
        return f"tr-{self.random.getrandbits(40):010x}"


def _sha(text: str) -> str:
    return hashlib.sha256(" ".join(text.lower().split()).encode()).hexdigest()[:16]
