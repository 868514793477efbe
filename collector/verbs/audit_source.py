"""What ``fusebox audit`` reads besides the journal's files: the copy in ClickHouse, and the live state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from breakers.latch import Latch
from collector import queries
from collector.audit import copied
from collector.audit.entry import Entry
from collector.audit.files import lines
from collector.audit.report import Problem, Report
from collector.audit.state import State
from collector.audit.verify import Copy
from collector.audit.walk import decoded
from collector.keep.engine import engine_of
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import FuseboxError
from fusebox.rundir import lookup

_PAGE: Final = 10_000
_LATE_S: Final = 10.0
_AGAIN: Final = 3
_AGAIN_S: Final = 2.0


def open_copy(config: Config, root: Path, report: list[str]) -> Copy | None:
    """The copy, as far as it is now; None, and a sentence in ``report``, when it cannot be read."""
    try:
        client = _client(config)
        _wait(config, root, client)
        given = copied.read(root)
        rows = queries.run(client, "audit_sizes")
    except (FuseboxError, ClickHouseError) as error:
        report.append(f"the copy in ClickHouse was not compared: {error}")
        return None
    unproven = sum(int(row["unproven"]) for row in rows)
    if unproven:
        report.append(
            f"{unproven} rows of audit_log carry no proof (payload_hash is empty): of an earlier Fusebox, or forged"
        )
    sizes = {str(row["writer"]): int(row["size"]) for row in rows if row["size"]}
    return Copy(sizes, given, lambda writer, below: _rows(client, writer, below))


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
        return clickhouse_connect.get_client(dsn=url, autogenerate_session_id=False)
    if config.sql_url or lookup(config.data_dir, "keep") or not (config.data_dir / "clickhouse").exists():
        return queries.connect(config)
    return engine_of(config).reader()


def _wait(config: Config, root: Path, client: Client) -> None:
    """Give a running *keep* time to copy what is in the journal now."""
    deadline = time.monotonic() + (_LATE_S if lookup(config.data_dir, "keep") else 0.0)
    ends = {writer: _last(root / writer) for writer in copied.read(root)}
    while time.monotonic() < deadline:
        sizes = {str(row["writer"]): int(row["size"]) for row in queries.run(client, "audit_sizes")}
        if all(sizes.get(writer, 0) >= end for writer, end in ends.items()):
            return
        time.sleep(0.2)


def _last(folder: Path) -> int:
    found = 0
    for text in lines(folder, 1 << 62):
        entry = decoded(text)
        found = entry.seq + 1 if entry else found
    return found


def _rows(client: Client, writer: str, below: int) -> Iterator[Entry]:
    for since in range(0, below, _PAGE):
        until = min(since + _PAGE, below)
        for row in queries.run(client, "audit_rows", writer=writer, since=since, until=until):
            yield Entry(**{name: value for name, value in row.items() if name not in ("us", "payload")},
                        time=int(row["us"]), payload=str(row["payload"]).encode())  # fmt: skip
