"""What ``fusebox audit`` reads besides the journal's files: the copy in ClickHouse, and the live state."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from breakers.latch import Latch
from collector import queries
from collector.audit import EVERY_S, copied
from collector.audit.entry import Entry
from collector.audit.files import lines
from collector.audit.report import Problem, Report
from collector.audit.state import State
from collector.audit.verify import Copy
from collector.audit.walk import decoded
from collector.clickhouse import client_of
from collector.keep.engine import engine_of
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import FuseboxError
from fusebox.rundir import lookup

_PAGE: Final = 10_000
_LATE_S: Final = 10.0
_POLL_S: Final = 0.2
_AGAIN: Final = 3
_AGAIN_S: Final = 2.0
_DAY_S: Final = 86_400.0


class Table:
    """The copy in ClickHouse, opened before the files are looked at: what it has by then, they must have.

    Args:
        gaps: told what could not be done.
    """

    def __init__(self, config: Config, gaps: list[str]) -> None:
        self._root, self._gaps = config.data_dir / "journal", gaps
        self._patience = _LATE_S if lookup(config.data_dir, "keep") else 0.0
        self._client: Client | None = None
        self._sizes: dict[str, int] = {}
        self._given = copied.read(self._root)
        deadline = time.monotonic() + self._patience
        while why := self._open(config):
            if time.monotonic() > deadline:
                gaps.append(f"the copy in ClickHouse was not compared: {why}")
                return
            time.sleep(_POLL_S)

    def _open(self, config: Config) -> str:
        """Connect; why that failed, or nothing."""
        try:
            client = _client(config)
            self._sizes = self._ask(client)
        except (FuseboxError, ClickHouseError) as error:
            return str(error)
        self._client = client
        return ""

    def caught_up(self, ends: Mapping[str, int]) -> Copy | None:
        """The copy, once it has what the files have (``ends`` by writer), or after ten seconds."""
        client = self._client
        if client is None:
            return None
        deadline = time.monotonic() + self._patience
        while any(size < ends[writer] for writer, size in self._now(client, ends).items()):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        below = {writer: max(end, self._sizes.get(writer, 0)) for writer, end in ends.items()}
        given = {
            writer: min(size, max(below.get(writer, 0), self._given.get(writer, 0)))
            for writer, size in copied.read(self._root).items()
        }
        sizes = self._sizes | {writer: size for writer, size in below.items() if size}
        return Copy(sizes, given, lambda writer, end: rows_of(client, writer, end))

    def evidence_gaps(self, now: float, spans_keep_days: int) -> list[str]:
        """What entries rest on and is not stored any more, though it is not old enough to be deleted.

        A span may be a day older than the entry that names it, and two minutes late.
        """
        if self._client is None:
            return []
        since = now - (spans_keep_days - 1) * _DAY_S if spans_keep_days else 0.0
        try:
            (row,) = queries.run(self._client, "audit_without_span", since=since, until=now - 2 * EVERY_S)
        except (FuseboxError, ClickHouseError) as error:
            return [f"the spans that entries name were not looked for: {error}"]
        if not row["spans"]:
            return []
        return [f"{row['spans']} spans that {row['entries']} entries name are not stored, first those of "
                f"{row['writer']} {row['seq']}: deleted, or never received"]  # fmt: skip

    def _now(self, client: Client, ends: Mapping[str, int]) -> dict[str, int]:
        sizes = self._ask(client)
        return {writer: sizes.get(writer, 0) for writer in ends}

    def _ask(self, client: Client) -> dict[str, int]:
        rows = queries.run(client, "audit_sizes")
        unproven = sum(int(row["unproven"]) for row in rows)
        said = f"{unproven} rows of audit_log carry no proof (no payload_hash): of an earlier Fusebox, or forged"
        if unproven and said not in self._gaps:
            self._gaps.append(said)
        return {str(row["writer"]): int(row["size"]) for row in rows if row["size"]}


def compare_live(config: Config, root: Path, state: State, report: Report) -> None:
    """Hold latches and circuits against the log; where that is not possible the report says so."""
    try:
        control = ControlClient.local(config)
        report.problems += _settled(control, root, state)
    except FuseboxError as error:
        report.incomplete.append(f"live circuits were not compared: {error}")
        latch = Latch(config.data_dir / "latch" / "watch.jsonl", tenant=config.tenant)
        report.problems += state.compare_kills({id: kill.scope for id, kill in latch.kills().items()})


def _settled(control: ControlClient, root: Path, state: State) -> list[Problem]:
    """What differs also after a while: entries follow what they are about."""
    for attempt in range(_AGAIN):
        board: dict[str, Any] = control.board()
        _catch_up(root, state)
        kills = {str(latch["id"]): str(latch["scope"]) for latch in board["latches"]}
        found = [*state.compare_kills(kills), *state.compare_circuits(board["circuits"])]
        if not found or attempt == _AGAIN - 1:
            return found
        time.sleep(_AGAIN_S)
    return []


def _catch_up(root: Path, state: State) -> None:
    for text in lines(root / "watch", state.size):
        entry = decoded(text)
        if entry and entry.seq >= state.size:
            state.learn(entry)


def _client(config: Config) -> Client:
    url = config.secret("clickhouse_url")
    if url:
        return client_of(url, "clickhouse_url")
    if config.sql_url or lookup(config.data_dir, "keep") or not (config.data_dir / "clickhouse").exists():
        return queries.connect(config)
    return engine_of(config).reader()


def rows_of(client: Client, writer: str, below: int) -> Iterator[Entry]:
    """The copy's rows of a writer, in the order of their numbers."""
    for first in range(0, below, _PAGE):
        for row in queries.run(client, "audit_rows", writer=writer, first=first, below=min(first + _PAGE, below)):
            yield Entry(**{name: value for name, value in row.items() if name not in ("us", "payload")},
                        time=int(row["us"]), payload=str(row["payload"]).encode())  # fmt: skip
