"""``fusebox tokens explain``: the rows behind a number, what casts doubt on it, and arguments that are none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest

from collector.readers import Reader, Readers
from fusebox.cli import main
from tests.collector.spans import NOW, Span, request
from tests.collector.sql_bench import Port, serving
from tests.fixtures.collector import until

CALL = {"gen_ai.operation.name": "chat", "gen_ai.agent.id": "helper", "gen_ai.request.model": "house-1",
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}  # fmt: skip
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 300, "gen_ai.usage.output_tokens": 60}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with serving(tmp_path_factory.mktemp("port")) as port:
        port.bench.store(
            request(
                Span(1, 7, attributes=AGENT | {"gen_ai.agent.name": "helper"}),
                Span(2, 7, parent=1, attributes=CALL), Span(3, 7, parent=1, start=NOW + 1, attributes=CALL),
                Span(4, 8, attributes=AGENT | {"gen_ai.agent.name": "silent"}),
            )
        )  # fmt: skip
        until(lambda: port.ask("SELECT count() FROM token_ledger").text == "2\n", "the rows can be read")
        yield port


@pytest.fixture(autouse=True)
def here(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOX_SQL_URL", port.url)
    port.clock.advance(60)


def test_what_is_shown_of_costs_adds_up_to_the_last_digit(port: Port, capsys: pytest.CaptureFixture[str]) -> None:
    costs = ("0.00000002", "0.000000013", "0.25", "0.0000000000004", "0")
    told = {"gen_ai.agent.id": "thrifty", "fusebox.cost.price": "list 1 x/y"}
    calls = (Span(n, 9, attributes=CALL | told | {"fusebox.cost.usd": c}) for n, c in enumerate(costs, 1))
    port.bench.store(request(*calls))
    counting = "SELECT count() FROM token_ledger WHERE agent = 'thrifty'"
    until(lambda: port.ask(counting).text == f"{len(costs)}\n", "the rows can be read")
    assert explain("thrifty") == 0
    out = capsys.readouterr().out
    shown = sorted(Decimal(each) for each in re.findall(r"\$([\d.]+)  ", out))
    assert shown == sorted(Decimal(c).quantize(Decimal("1e-12"), ROUND_DOWN) for c in costs)
    assert f"${sum(shown)}" in out.splitlines()[-1]
    rows = explained(capsys, "thrifty")["rows"]
    assert sorted(Decimal(row["cost_usd"]) for row in rows) == shown


def explain(*arguments: str) -> int:
    return main(["tokens", "explain", *arguments, "--since", "2000-01-01"])


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    explain(*arguments, "--json")
    return dict(json.loads(capsys.readouterr().out))


def test_agents_whose_own_sums_differ_from_their_calls_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    (doubt,) = explained(capsys, "helper")["doubts"]["ledger_parents"]
    assert (doubt["input_tokens"], doubt["ledger_input_tokens"]) == (300, 200)
    assert explain("helper") == 0
    assert "1 spans of agents tell other sums than the rows below them" in capsys.readouterr().out


def test_an_agent_without_a_row_that_says_it_used_tokens_is_doubted_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("silent") == 1
    out = capsys.readouterr().out
    assert "made no model call" in out
    assert "1 spans of agents tell other sums" in out


def test_who_may_not_read_what_a_check_needs_sees_the_number_and_which_are_missing(
    port: Port, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = Readers(port.folder).add(Reader("ann", role="viewer"))
    monkeypatch.setenv("FUSEBOX_SQL_URL", port.url.replace("//", f"//ann:{token}@"))
    found = explained(capsys, "helper")
    assert (found["totals"]["attempts"], found["doubts"]["ledger_violations"]) == (2, [])
    assert (found["doubts"]["ledger_not_leaf"], found["doubts"]["ledger_parents"]) == (None, None)
    assert explain("helper") == 0
    assert "not checked, because the database refused or was too slow: whether any" in capsys.readouterr().out
    (port.folder / "readers.json").unlink()


@pytest.mark.parametrize("limit", ["0", "-1", "1e3", "x", "99999999999"])
def test_a_limit_that_shows_nothing_is_refused_in_words(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    with pytest.raises(SystemExit):
        explain("helper", f"--limit={limit}")
    assert f"{limit!r} is no number from 1 to" in capsys.readouterr().err


def test_an_empty_name_does_not_explain_everybodys_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        explain("")
    assert "an agent without a name" in capsys.readouterr().err
