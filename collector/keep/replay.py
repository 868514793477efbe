"""Replaying dead letters: what the database refused once is offered again, for instance after an upgrade.

``fusebox collector replay-dead`` asks by a file, because only *keep* may write to the database; *keep* answers by one,
which whoever asked removes (one that nobody fetched within an hour goes when the next is written)::

    dead_letters/<id>.order     {"user": "<who>", "reason": "<text that the letter's reason contains>"}
    dead_letters/<id>.answer    {"id": "<id>", "replayed": n, "refused": n, "reasons": ["<first few, distinct>"],
                                 "error": "<why it ended early>"}

A letter keeps the id of its batch, so a replay is a retry of a part of that batch: what is stored of it already, in the
source or in one of the views' targets, is found by that id and not stored again. A replay that was interrupted is done
again at the next start, and asking twice does no harm. A letter that is refused again stays what it is. When the
database is away, the answer says so and the order is gone: whoever asked is there to ask again. The order is journaled
before (``replay``) and what became of it after (``outcome``); without the first nothing is replayed.
"""

from __future__ import annotations

import base64
import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.keep.batch import Batch
from collector.keep.engine import Engine
from collector.keep.errors import EngineDown, EngineRefused, sorted_out
from collector.keep.insert import Inserter
from collector.keep.orders import ANSWERS, LETTERS, ORDERS, answer_to, order_of
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.rundir import sync_dir, write_atomic

_REASONS: Final = 5
_UNREAD_S: Final = 3600.0
_WAITING: Final = """
SELECT DISTINCT letter, batch, toUnixTimestamp64Micro(time), reason, base64Encode(raw) FROM dead_letters_waiting
WHERE position(reason, {reason:String}) > 0 AND letter > {after:String} ORDER BY letter LIMIT 1 BY letter LIMIT 100
"""

REPLAYED: Final = happenings.declare("dead_letters_replayed", logging.WARNING, "dead letters were offered again")

UNREADABLE: Final = happenings.declare(
    "replay_unreadable", logging.ERROR, "an order to replay dead letters, or one of them, is damaged; its file stays"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; ``file`` is None for one in the table."""

    name: str
    batch: str
    time: float
    reason: str
    raw: bytes
    file: Path | None = None


class _Refusals:
    """Takes the place of the dead letters while one of them is replayed."""

    def __init__(self) -> None:
        self.reason = ""

    def add(self, batch: str, raw: bytes, reason: str) -> None:  # noqa: ARG002  (the letter is there already)
        self.reason = reason


class Replay:
    """Carries out an order when there is one; use it from the thread that inserts."""

    def __init__(self, engine: Engine, folder: Path, clock: Clock, journal: Journal) -> None:
        self._engine, self._folder, self._clock, self._journal = engine, folder, clock, journal
        self._refusals = _Refusals()
        self._inserter = Inserter(engine, self._refusals, counts=False)

    def step(self) -> None:
        """Replay what was ordered, if anything was. What stands in the way is part of the answer; nothing is raised."""
        order = self._order()
        if order is None:
            return
        answer: dict[str, object] = {"id": order["id"], **self._recorded(order)}
        happenings.emit(REPLAYED, answer=answer)
        self._clear_away()
        write_atomic(answer_to(self._folder, order["id"]), json.dumps(answer))
        order_of(self._folder, order["id"]).unlink(missing_ok=True)
        sync_dir(self._folder)

    def _clear_away(self) -> None:
        """Remove the answers to those who did not wait; what they say is in the journal."""
        for file in self._folder.glob(ANSWERS):
            with suppress(FileNotFoundError):  # fetched just now
                if self._clock.wall() - file.stat().st_mtime > _UNREAD_S:
                    file.unlink()

    def _recorded(self, order: dict[str, str]) -> dict[str, object]:
        """Replay between intent and outcome in the journal."""
        actor, chosen = f"user:{order['user']}", order["reason"] or "all"
        intent = Note("replay", actor, "dead_letters", chosen, payload={"order": order["id"], "queue": "dead_letters"})
        try:
            self._journal.append(intent)
        except JournalBroken as error:
            return {"replayed": 0, "refused": 0, "reasons": [], "error": f"{error}; nothing was replayed"}
        result = self._replayed(order["reason"])
        payload = {"count": result["replayed"], "refused": result["refused"]}
        self._journal.record(Note("outcome", "keep", order["id"], str(result["error"] or "done"), payload=payload))
        return result

    def _replayed(self, reason: str) -> dict[str, object]:
        outcomes: list[str] = []
        error = ""
        try:
            outcomes.extend(self._again(letter) for letter in self._letters(reason))
        except (EngineDown, EngineRefused) as trouble:
            error = str(trouble)
        refused = [outcome for outcome in outcomes if outcome]
        reasons = list(dict.fromkeys(refused))[:_REASONS]
        return {"replayed": outcomes.count(""), "refused": len(refused), "reasons": reasons, "error": error}

    def _order(self) -> dict[str, str] | None:
        file = next(self._folder.glob(ORDERS), None)
        if file is None:
            return None
        try:
            order = json.loads(file.read_text())
            return {"id": file.stem, "user": str(order.get("user", "unknown")), "reason": str(order["reason"])}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            happenings.emit(UNREADABLE, file=file.name, error=repr(error))
            file.replace(file.with_suffix(".damaged"))
            return None

    def _letters(self, reason: str) -> Iterator[Letter]:
        after = ""
        while rows := self._rows(reason, after):
            for name, batch, micros, why, raw in rows:
                yield Letter(name, batch, micros / 1e6, why, base64.b64decode(raw))
            after = rows[-1][0]
        for file in sorted(self._folder.glob(LETTERS)):
            letter = _letter_in(file)
            if letter and reason in letter.reason:
                yield letter

    def _rows(self, reason: str, after: str) -> list[tuple[Any, ...]]:
        try:
            return list(self._engine.writer().query(_WAITING, {"reason": reason, "after": after}).result_rows)  # type: ignore[arg-type]
        except ClickHouseError as error:
            self._engine.discard()
            raise sorted_out(error) from error

    def _again(self, letter: Letter) -> str:
        """Offer it again; why it is refused again, or ""."""
        self._refusals.reason = ""
        batch = Batch(letter.batch, 0, 0, int(letter.time * 1e9), (letter.raw,), retried=True, whole=False)
        self._inserter.write(batch)
        if not self._refusals.reason:
            self._strike_out(letter)
        return self._refusals.reason

    def _strike_out(self, letter: Letter) -> None:
        if letter.file:
            letter.file.unlink(missing_ok=True)
            return
        try:  # under a token of its own: the engine may remember a row that it does not have
            self._engine.writer().insert(
                "dead_letters_replayed",
                [[int(self._clock.now() * 1_000_000), letter.name]],
                column_names=["time", "letter"],
                settings={"insert_deduplication_token": secrets.token_hex(16)},
            )
        except ClickHouseError as error:
            self._engine.discard()
            raise sorted_out(error) from error


def _letter_in(file: Path) -> Letter | None:
    """The letter that a file holds; None for what is damaged, which is told."""
    try:
        data = json.loads(file.read_text())
        raw = base64.b64decode(data["raw"])
        return Letter(file.stem, str(data["batch"]), float(data["time"]), str(data["reason"]), raw, file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        happenings.emit(UNREADABLE, file=file.name, error=repr(error))
        return None
