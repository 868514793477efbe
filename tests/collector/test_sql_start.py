"""The process for statements is there before the first of them; one that cannot start is tried again."""

from __future__ import annotations

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from collector.audit.files import entries
from collector.sql import pool as pool_module
from collector.sql.pool import Pool, SandboxDown
from collector.sql.process import SLOTS
from collector.sql.statement import Statement
from fusebox import happenings
from tests.collector.sql_bench import serving
from tests.collector.test_sql_attacks import _runs, sandbox_of
from tests.fixtures.agents import eventually
from tests.need import PATIENCE_S


def test_it_starts_with_the_port(tmp_path: Path) -> None:
    before = happenings.counts()["sql_sandbox_started"]
    with serving(tmp_path) as port:
        eventually(lambda: happenings.counts()["sql_sandbox_started"] > before)
        warm = sandbox_of(os.getpid())
        assert port.ask("SELECT count() FROM agent_events").text == "2000\n"
        assert sandbox_of(os.getpid()) == warm


def test_one_that_has_grown_is_replaced_between_two_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = happenings.counts()["sql_sandbox_renewed"]
    with serving(tmp_path) as port:
        assert port.ask("SELECT 1").text == "1\n"
        first = sandbox_of(os.getpid())
        monkeypatch.setattr("collector.sql.growth.YOUNG_S", 0.0)
        assert port.ask("SELECT 2").text == "2\n"
        assert sandbox_of(os.getpid()) == first, "it has not grown"
        monkeypatch.setattr("collector.sql.growth.WORN_BYTES", -(1 << 40))
        assert port.ask("SELECT count() FROM agent_events").text == "2000\n"
        assert sandbox_of(os.getpid()) != first
        assert happenings.counts()["sql_sandbox_renewed"] == before + 1
        eventually(lambda: not _runs(first))


def test_one_that_has_grown_is_not_replaced_under_a_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.sql.growth.YOUNG_S", 0.0)
    before = happenings.counts()["sql_sandbox_renewed"]
    with serving(tmp_path) as port, ThreadPoolExecutor(1) as pool:
        assert port.ask("SELECT 1").text == "1\n"
        long = pool.submit(port.ask, "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 0")
        eventually(lambda: len(port.application._pool._process.slots) < SLOTS)  # type: ignore[union-attr]
        monkeypatch.setattr("collector.sql.growth.WORN_BYTES", -(1 << 40))
        assert port.ask("SELECT 2").text == "2\n"
        assert happenings.counts()["sql_sandbox_renewed"] == before
        assert "TIMEOUT_EXCEEDED" in long.result().text, "it had all of its time"


def test_what_cannot_start_is_counted_and_tried_again(tmp_path: Path) -> None:
    asked = 0

    def setup() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        raise OSError("no room for another process")

    async def run() -> None:
        pool = Pool(setup, tmp_path)
        await pool.warm()
        with pytest.raises(SandboxDown, match="no room for another process"):
            async with pool.run(Statement("SELECT 1")):
                pass

    before = happenings.counts()["sql_sandbox_down"]
    asyncio.run(run())
    assert asked == happenings.counts()["sql_sandbox_down"] - before == 2


def test_what_could_not_start_is_tried_again_before_anybody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_AGAIN_S", 0.1)
    real = sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with serving(tmp_path) as port:
        eventually(lambda: port.application.trouble, what="it says that no statement can run")
        monkeypatch.setattr(sys, "executable", real)
        eventually(lambda: not port.application.trouble, what="one can, and nobody has asked")


def test_a_statement_for_which_there_is_no_process_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with serving(tmp_path) as port:
        assert port.ask("SELECT 'unanswered'").status_code == 503
    (entry,) = [entry for entry in entries(tmp_path / "journal", "keep") if entry["kind"] == "sql"]
    assert (entry["subject"], entry["reason"], entry["payload"]["code"]) == ("failed", "SELECT 'unanswered'", 209)


def test_one_that_still_starts_when_keep_ends_is_ended(tmp_path: Path) -> None:
    never_ready = {"definitions": ["SELECT sleep(3)"] * 100, "readable": []}

    async def run() -> int:
        starting = asyncio.create_task(Pool(lambda: never_ready, tmp_path).warm())
        while (found := _sandbox()) is None:
            await asyncio.sleep(0.02)
        starting.cancel()
        await asyncio.wait({starting})
        return found

    process = asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
    eventually(lambda: not _runs(process))


def _sandbox() -> int | None:
    try:
        return sandbox_of(os.getpid())
    except AssertionError:
        return None
