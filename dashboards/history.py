"""What the database remembers: named queries on the SQL port of *keep*, asked on threads of their own.

Answers belong to the process, not to a session: however many people look at a page, its questions are put once. Nobody
sees more by that, because all of them are put with the same token, and who may see a page is asked before it is drawn.

Streamlit draws the parts of a session one after the other. A database that hangs must not stop the board, which does
not need it, so a question is given :data:`PATIENCE_S` seconds; after that the page goes on without the answer, or with
the last one, and finds it at a later refresh. A page that is nothing without its answers may wait longer for the first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock, local
from typing import Any, Final, TypeVar

from clickhouse_connect.driver.client import Client

from collector import queries
from collector.queries import KeepUnavailable
from dashboards.data import database_token
from fusebox.config import Config
from fusebox.rundir import url_of

__all__ = ["HISTORY", "History", "KeepUnavailable", "evidence", "run", "submit", "tokens_by_minute"]

Rows = list[dict[str, Any]]
T = TypeVar("T")
PATIENCE_S: Final = 0.5
EARLIER_S: Final = 30.0
"""An answer older than this is not shown while a newer one is awaited."""
STANDS_S: Final = 60.0
"""After so long a question is put again even if nothing was stored since: its period has moved on."""
KEPT: Final = 200
_MINE: Final = local()
_THREADS: Final = ThreadPoolExecutor(4, thread_name_prefix="history")


@dataclass(frozen=True, slots=True)
class _Answer:
    rows: Rows
    asked: float


@dataclass(frozen=True, slots=True)
class _Question:
    """One asking. ``mark`` is the database's watermark at that time, ``before`` the answer there was until then."""

    future: Future[Rows]
    asked: float
    mark: float
    before: _Answer | None

    def answer(self) -> _Answer | None:
        """The newest answer: to this asking, or to the one before."""
        if self.future.done() and not self.future.exception():
            return _Answer(self.future.result(), self.asked)
        return self.before

    def due(self, now: float, lasting: float, mark: float) -> bool:
        """True when it should be put again."""
        age = now - self.asked
        if not self.future.done() or age < lasting:
            return False
        stands = mark and mark == self.mark and not self.future.exception()
        return not stands or age >= STANDS_S


class History:
    """The newest :data:`KEPT` questions and their answers."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._questions: dict[Hashable, _Question] = {}

    def ask(self, key: Hashable, ask: Callable[[], Rows], now: float, lasting: float, mark: float = 0.0) -> None:
        """Ask without waiting, unless somebody asks already or the last answer still stands. See :meth:`rows`."""
        self._put(key, ask, now, lasting, mark)

    def rows(
        self,
        key: Hashable,
        ask: Callable[[], Rows],
        now: float,
        lasting: float,
        first_s: float = PATIENCE_S,
        mark: float = 0.0,
    ) -> Rows | None:
        """The answer to ``ask``: it stands for ``lasting`` seconds, and until the database has stored something since.

        Args:
            key: what makes it this question and no other, the installation it is put to among it.
            now: Unix seconds.
            first_s: seconds to wait when there is no earlier answer to show meanwhile.
            mark: up to when everything is in the database (Unix seconds); 0: not known.

        Returns:
            None while the first answer is being waited for.

        Raises:
            KeepUnavailable: *keep* did not answer the last time it was asked.
        """
        question = self._put(key, ask, now, lasting, mark)
        before = question.before
        if before is not None and now - before.asked >= EARLIER_S + lasting:
            before = None
        if wait([question.future], first_s if before is None else PATIENCE_S).done:
            return question.future.result()
        return before.rows if before else None

    def last(self, key: Hashable) -> Rows:
        """The last answer, without asking; empty when there was none."""
        with self._lock:
            question = self._questions.get(key)
        found = question.answer() if question else None
        return found.rows if found else []

    def _put(self, key: Hashable, ask: Callable[[], Rows], now: float, lasting: float, mark: float) -> _Question:
        with self._lock:
            question = self._questions.pop(key, None)
            if question is None or question.due(now, lasting, mark):
                before = question.answer() if question else None
                question = _Question(_THREADS.submit(ask), now, mark, before)
            self._questions[key] = question
            while len(self._questions) > KEPT:
                del self._questions[next(iter(self._questions))]
        return question


HISTORY: Final = History()
"""This process's."""


def submit(work: Callable[..., T], *arguments: Any) -> Future[T]:
    """Do ``work`` on one of the threads that wait for the database."""
    return _THREADS.submit(work, *arguments)


def evidence(config: Config, spans: tuple[str, ...]) -> Rows:
    """The actions behind a trip, oldest first, with what the ledger says that they cost.

    ``cost_usd`` is None, and ``price`` says why, where nobody knows or another span has it; what is no attempt of an
    inference costs nothing.

    Raises:
        KeepUnavailable: *keep* does not answer.
    """
    actions = run(config, "trip_evidence", spans=list(spans))
    ledger = run(config, "ledger_of_spans", spans=list(spans))
    prices = {(row["trace_id"], row["span_id"]): row for row in ledger}
    return [action | (prices.get((action["trace_id"], action["span_id"])) or _unbilled(action)) for action in actions]


def _unbilled(action: dict[str, Any]) -> dict[str, Any]:
    """What the ledger does not have costs nothing, unless another span has it."""
    return {} if action["cost_usd"] is None else {"cost_usd": Decimal(0), "price": ""}


def tokens_by_minute(config: Config, since: float) -> Rows:
    """Minute, agent and tokens since a Unix time. Raises :class:`KeepUnavailable`."""
    return run(config, "tokens_by_agent_minute", since=since)


def run(config: Config, name: str, **parameters: Any) -> Rows:
    """The rows of a named query, of this installation's tenant. Raises :class:`KeepUnavailable`."""
    if "tenant" in queries.QUERIES[name].parameters:
        parameters = {"tenant": config.tenant, **parameters}
    client = _connection(config)
    try:
        return queries.run(client, name, **parameters)
    except KeepUnavailable:
        _hang_up()
        raise


def _connection(config: Config) -> Client:
    """This thread's connection, which is not for two: making one costs three times what a small question does."""
    where = (url_of(config, "keep", "sql_url"), database_token(config))
    if getattr(_MINE, "where", None) != where:
        _hang_up()
        _MINE.client, _MINE.where = queries.connect(config, where[1]), where
    client: Client = _MINE.client
    return client


def _hang_up() -> None:
    """Close this thread's connection, if there is one: *keep* may be another by now, or want another token."""
    if getattr(_MINE, "where", None):
        _MINE.client.close()
        _MINE.where = None
