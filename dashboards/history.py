"""What the database remembers: named queries on the SQL port of *keep*, asked on threads of their own.

Streamlit draws the parts of a session one after the other. A database that hangs must not stop the board, which does
not need it, so a question is given :data:`PATIENCE_S` seconds; after that the page goes on without the answer, or with
the last one, and finds it at a later refresh. A page that is nothing without its answers may wait longer for the first.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from collector import queries
from collector.queries import KeepUnavailable
from dashboards.data import database_token
from fusebox.config import Config

__all__ = ["History", "KeepUnavailable", "evidence", "run", "submit", "tokens_by_minute"]

Rows = list[dict[str, Any]]
T = TypeVar("T")
PATIENCE_S: Final = 0.5
KEPT: Final = 60
_THREADS: Final = ThreadPoolExecutor(4, thread_name_prefix="history")


@dataclass(slots=True)
class _Question:
    future: Future[Rows]
    asked: float


class History:
    """The answers one session has had, the newest :data:`KEPT` of them."""

    def __init__(self) -> None:
        self._open: dict[str, _Question] = {}
        self._answers: dict[str, Rows] = {}

    def ask(self, key: str, ask: Callable[[], Rows], now: float, lasting: float) -> Future[Rows]:
        """Ask without waiting, unless the last question is younger than ``lasting`` seconds at ``now``."""
        question = self._open.get(key)
        if question is None or (question.future.done() and now - question.asked >= lasting):
            question = _Question(_THREADS.submit(ask), now)
            _put(self._open, key, question)
        return question.future

    def rows(
        self, key: str, ask: Callable[[], Rows], now: float, lasting: float, first_s: float = PATIENCE_S
    ) -> Rows | None:
        """The answer to ``ask``, asked again when the last one is ``lasting`` seconds old at ``now``.

        Args:
            first_s: seconds to wait when there is no earlier answer to show meanwhile.

        Returns:
            None while the first answer is being waited for.

        Raises:
            KeepUnavailable: *keep* did not answer the last time it was asked.
        """
        future = self.ask(key, ask, now, lasting)
        if wait([future], PATIENCE_S if key in self._answers else first_s).done:
            _put(self._answers, key, future.result())
        return self._answers.get(key)

    def last(self, key: str) -> Rows:
        """The last answer, without asking; empty when there was none."""
        return self._answers.get(key, [])


def submit(work: Callable[..., T], *arguments: Any) -> Future[T]:
    """Do ``work`` on one of the threads that wait for the database."""
    return _THREADS.submit(work, *arguments)


def evidence(config: Config, spans: tuple[str, ...]) -> Rows:
    """The actions behind a trip, oldest first, with what the ledger says that they cost.

    ``cost_usd`` is None, and ``price`` says why, where nobody knows; what is no attempt of an inference costs nothing.

    Raises:
        KeepUnavailable: *keep* does not answer.
    """
    with closing(queries.connect(config, database_token(config))) as client:
        actions = queries.run(client, "trip_evidence", spans=list(spans))
        ledger = queries.run(client, "ledger_of_spans", spans=list(spans))
    prices = {(row["trace_id"], row["span_id"]): row for row in ledger}
    free = {"cost_usd": Decimal(0), "price": ""}
    return [action | prices.get((action["trace_id"], action["span_id"]), free) for action in actions]


def tokens_by_minute(config: Config, since: float) -> Rows:
    """Minute, agent and tokens since a Unix time. Raises :class:`KeepUnavailable`."""
    return run(config, "tokens_by_agent_minute", since=since)


def run(config: Config, name: str, **parameters: Any) -> Rows:
    """The rows of a named query, of this installation's tenant. Raises :class:`KeepUnavailable`."""
    if "tenant" in queries.QUERIES[name].parameters:
        parameters = {"tenant": config.tenant, **parameters}
    with closing(queries.connect(config, database_token(config))) as client:
        return queries.run(client, name, **parameters)


def _put(store: dict[str, Any], key: str, value: object) -> None:
    store.pop(key, None)
    store[key] = value
    while len(store) > KEPT:
        del store[next(iter(store))]
