"""``fusebox sql`` and ``fusebox why`` at the command line, against a running *keep*."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collector.spool import Writer
from fusebox.cli import main
from tests.collector.spans import Span, request
from tests.fixtures.collector import StartRoles, until


def test_sql_and_why_on_a_running_keep(
    roles: StartRoles, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = roles("keep")
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(running.config.data_dir))
    writer = Writer(running.config.data_dir / "spool", 1 << 20)
    writer.append(request(Span(1, attributes={"fusebox.action": "tool_call", "fusebox.operation": "[red]x[/]"})))

    def says(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    until(lambda: says("sql", "--csv", "SELECT count() AS n FROM agent_events") == '"n"\n1\n', "the event")
    table = says("sql", "SELECT agent, operation, count() AS n FROM agent_events GROUP BY 1, 2")
    assert [line.split() for line in table.splitlines()] == [["agent", "operation", "n"], ["helper", "[red]x[/]", "1"]]
    long = "x" * 500
    assert long in says("sql", f"SELECT '{long}' AS a, '{long}' AS b"), "nothing is cut in a pipe"
    assert json.loads(says("sql", "--json", "SELECT 1 AS a"))["data"] == [{"a": 1}]
    assert says("sql", "SELECT 1 AS a FORMAT TSVWithNames") == "a\n1\n"
    assert json.loads(says("why", "--json", f"{1:016x}"))["steps"][0]["agent"] == "helper"
    assert "tickets.comment" in says("why", f"{1:016x}")

    assert main(["sql", "DROP TABLE agent_events"]) == 2
    assert "ACCESS_DENIED" in capsys.readouterr().err
    assert main(["why", "0" * 16]) == 2
    assert "is stored" in capsys.readouterr().err
    writer.close()


@pytest.mark.parametrize("arguments", [("sql", "SELECT 1"), ("why", "0" * 16)])
def test_without_keep_the_fix_is_named(
    arguments: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path))
    assert main(arguments) == 2
    assert "fusebox up" in capsys.readouterr().err
    monkeypatch.setenv("FUSEBOX_SQL_URL", "http://127.0.0.1:9")
    assert main(arguments) == 2
    assert "does not answer" in capsys.readouterr().err
