"""Every page over what the real roles stored: what a person finds there, and that hostile words stay words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from collector import queries
from collector.tokens import Tokens
from dashboards import saved
from dashboards.links import Name
from dashboards.oidc import Role
from dashboards.people import Person
from dashboards.sheet import safe_csv
from dashboards.text import visible
from fusebox.control import ControlClient
from tests.dashboards.hostile import HOSTILE
from tests.dashboards.page import opened, press, sign_in, tables, texts, turn_to, words
from tests.dashboards.standin import Standin, tile, trip
from tests.dashboards.standin import running as serving
from tests.dashboards.test_hostile import MARKUP
from tests.dashboards.traffic import LAPS, LOOPER, TASKS, TRACE, WORKER, send
from tests.fixtures.collector import Roles, starting, until

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """Roles that have seen the traffic."""
    with starting(tmp_path_factory.mktemp("pages")) as start:
        roles = start("receive", "keep", "watch")
        send(roles)
        yield roles


@pytest.fixture
def page(running: Roles, monkeypatch: Patch) -> AppTest:
    """An operator's session."""
    return sign_in(opened(monkeypatch, running.config.data_dir, None), running.token("operator"))


def settled(page: AppTest) -> AppTest:
    """The page when everything it asked for has come."""
    until(lambda: "Reading…" not in words(page.run()), "the page is read")
    assert not page.exception
    return page


def table(page: AppTest, column: str) -> list[dict[str, Any]]:
    """The rows of the table that has this column."""
    return next((rows for rows in tables(page) if rows and column in rows[0]), [])


def test_the_agents_are_listed_with_what_they_did(page: AppTest) -> None:
    settled(turn_to(page, Name.AGENTS))

    rows = {row["Agent"]: row for row in table(page, "Belongs to")}
    assert rows[LOOPER]["Actions"] == LAPS
    assert rows[LOOPER]["State"] == "Open"
    assert (rows[WORKER]["Model calls"], rows[WORKER]["Tool calls"]) == (TASKS, TASKS)
    assert rows[WORKER]["Failed"] == pytest.approx(1 / (3 * TASKS))


def test_one_agent_shows_its_operations_and_partners(page: AppTest) -> None:
    settled(turn_to(page, Name.AGENTS, agent=WORKER))

    operations = {row["Operation"]: row for row in table(page, "Operation")}
    assert operations["labels.add"]["Number"] == TASKS
    assert operations["labels.add"]["Failed"] == 1
    assert [(row["From"], row["Messages"]) for row in table(page, "From")] == [("listener", TASKS)]
    settled(turn_to(page, Name.AGENTS, agent="listener"))
    assert [(row["By"], row["Messages"]) for row in table(page, "By")] == [(WORKER, TASKS)]


def test_traces_are_found_by_words_and_failures(page: AppTest) -> None:
    found = table(settled(turn_to(page, Name.TRACES, agent=WORKER)), "Trace")
    assert [(row["Trace"], row["Actions"]) for row in found] == [(TRACE.hex(), 3 * TASKS)]

    page.text_input(key="words").input("labels")
    assert table(settled(page), "Trace")
    page.text_input(key="words").input("no such thing")
    assert "No trace" in words(settled(page))
    page.text_input(key="words").input("")
    page.text_input(key="agent").input(LOOPER)
    page.toggle(key="failed").set_value(True)
    assert "No trace" in words(settled(page))


def test_a_trace_is_a_tree_in_the_order_of_its_spans(page: AppTest) -> None:
    settled(turn_to(page, Name.TRACES, trace=TRACE.hex()))

    tree = [row for row in table(page, "Span") if row["Service"]]
    depths = [(row["Span"].strip("\u2007"), len(row["Span"]) - len(row["Span"].lstrip("\u2007"))) for row in tree]
    mine = [each for each in depths if each[0] in ("consume", "chat", "execute_tool labels.add")]
    assert mine == [("consume", 0), ("chat", 2), ("execute_tool labels.add", 2)] * TASKS
    assert "took too long" in [row["Says"] for row in tree]


def test_what_was_spent_is_told_by_agent_model_and_workflow(page: AppTest) -> None:
    settled(turn_to(page, Name.SPEND))

    assert {row["Agent"]: row["Tokens"] for row in table(page, "Agent")}[WORKER] == TASKS * 1280
    calls = {row["Provider"]: row["Calls"] for row in table(page, "Model") if row["Model"] == "gpt-5-mini"}
    assert calls == {"openai": TASKS, "not told": LAPS}
    assert {row["Workflow"]: row["Tokens"] for row in table(page, "Workflow")}["labelling"] == TASKS * 1280
    assert "no known price" in words(page)
    assert "US dollars every minute, by agent" in words(page)


def test_the_audit_log_is_filtered_and_saved_as_a_harmless_sheet(page: AppTest) -> None:
    settled(turn_to(page, Name.AUDIT, subject=LOOPER))

    rows = table(page, "About")
    assert {row["About"] for row in rows} == {LOOPER}
    page.text_input(key="kind").input("no-such-kind")
    assert "No entry" in words(settled(page))


@pytest.mark.parametrize(
    ("name", "filters"), [(Name.AUDIT, {"subject": LOOPER}), (Name.TRACES, {"trace": TRACE.hex()})]
)
def test_what_is_read_stays_while_the_database_does_not_answer(
    page: AppTest, monkeypatch: Patch, name: Name, filters: dict[str, str]
) -> None:
    settled(turn_to(page, name, **filters))
    listed, _ = page.session_state["fusebox-standing"]
    chosen = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.session_state[listed] = chosen
    read = [code.value for code in settled(page).code]
    assert read

    monkeypatch.setenv("FUSEBOX_SQL_URL", "http://127.0.0.1:9")
    page.session_state[listed] = chosen
    until(lambda: "keep does not answer" in words(page.run()), "the database is away")
    assert [code.value for code in page.code][:1] == read[:1]


def test_a_question_in_sql_is_answered_and_a_write_is_refused(page: AppTest) -> None:
    turn_to(page, Name.AUDIT, tab="SQL")
    page.text_area(key="sql").input(
        "SELECT agent, count() AS actions, uniq(trace_id) AS traces FROM agent_events GROUP BY agent"
    )
    press(page, "Run")
    until(lambda: table(page.run(), "actions"), "the answer")
    assert {row["agent"]: row["actions"] for row in table(page, "actions")}[LOOPER] == LAPS
    assert page.selectbox(key="plotted").options == ["actions", "traces"], "what is drawn can be chosen"

    page.text_area(key="sql").input("DROP TABLE agent_events")
    press(page, "Run")
    until(lambda: "refused" in words(page.run()), "the refusal")


def test_a_statement_is_audited_under_the_name_of_who_asked(running: Roles, monkeypatch: Patch) -> None:
    folder = running.config.data_dir
    jo = Tokens(folder / "operators.json").add("jo")  # of each reader thirty statements a minute are written in full
    page = sign_in(opened(monkeypatch, folder, None), jo)
    turn_to(page, Name.AUDIT, tab="SQL")
    page.text_area(key="sql").input("SELECT 'my own question' AS a")
    press(page, "Run")
    until(lambda: table(page.run(), "a"), "the answer")

    turn_to(page, Name.AUDIT, tab="Entries")
    page.text_input(key="said").input("my own question").run()
    settled(page)
    assert table(page, "By") == [], "statements are left out until they are asked for"
    page.text_input(key="kind").input("sql").run()

    def asked() -> list[dict[str, Any]]:
        found = table(settled(page.run()), "By")
        assert {(row["Kind"], row["By"]) for row in found} <= {("sql", "jo")}
        return [row for row in found if row["Reason"].startswith("SELECT 'my own question' AS a")]

    until(asked, "the statement is in the copy", 30)


def test_an_incident_is_told_from_the_loop_to_what_was_done(page: AppTest) -> None:
    settled(turn_to(page, Name.INCIDENT))

    steps = table(page, "Ended")
    assert len(steps) == LAPS
    assert {row["Operation"] for row in steps} == {"tickets.comment"}
    wanted = {("trip", "detector:repetition"), ("alert delivered", "log")}
    until(
        lambda: wanted <= {(row["What"], row["By"]) for row in table(settled(page), "What")},
        "what was done, and who was told", 30,
    )  # fmt: skip
    assert "about" in " ".join(metric.value for metric in page.metric)


def test_health_says_what_runs_and_what_is_stored(page: AppTest) -> None:
    settled(turn_to(page, Name.HEALTH))
    until(lambda: "keep is well" in " ".join(m.value for m in page.run().markdown), "the roles answered")

    assert "No numbered span is missing." in words(page)
    assert {row["Table"] for row in table(page, "Table")} >= {"agent_events", "otel_traces", "audit_log"}


def test_who_has_no_id_is_told_where_ids_are(page: AppTest) -> None:
    turn_to(page, Name.WHY)
    assert "An id stands beside what it names" in words(page)
    assert [link.proto.label for link in page.get("page_link")] == ["Choose a trace", "Choose an audit entry"]


@pytest.mark.parametrize("name", [Name.AGENTS, Name.TRACES, Name.SPEND, Name.INCIDENT, Name.AUDIT, Name.HEALTH])
def test_hostile_words_are_shown_as_words(page: AppTest, name: Name) -> None:
    settled(turn_to(page, name, **({"trace": TRACE.hex()} if name is Name.TRACES else {})))

    markup = [str(element.value) for kind in MARKUP for element in getattr(page, kind)]
    for text in HOSTILE:
        assert not [shown for shown in markup if text in shown or visible(text) in shown]
    assert not [element for element in page.markdown if element.allow_html]


def test_a_sheet_holds_no_formula() -> None:
    hidden = [f"{before}{sign}1+1" for before in ("", " ", "\u00a0", "'", '"', ' "') for sign in "=+-@＝＋－＠"]
    sheet = safe_csv([{"=head": text, "number": -1} for text in (*HOSTILE, *hidden)])
    cells = [cell for row in csv.reader(io.StringIO(sheet)) for cell in row if cell != "-1"]

    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert '\'=HYPERLINK("https://evil.example")' in cells
    assert [cell for cell in cells if cell.endswith("1+1")] == [f"'{text}" for text in hidden]


@pytest.mark.parametrize("name", [name for name in Name if name is not Name.WHY])
def test_a_token_that_is_withdrawn_ends_the_session_on_every_page(
    monkeypatch: Patch, tmp_path: Path, name: Name
) -> None:
    with serving(Standin(tile("ticket-helper"), trips=(trip("ticket-helper"),))) as scripted:
        page = turn_to(sign_in(opened(monkeypatch, tmp_path, scripted.url)), name)
        scripted.tokens.clear()
        page.run()

    assert "no longer accepted" in words(page)
    assert page.session_state["fusebox"].token == ""


@pytest.mark.parametrize("name", [Name.AGENTS, Name.TRACES, Name.SPEND, Name.AUDIT, Name.HEALTH])
def test_every_page_says_that_watch_is_silent(monkeypatch: Patch, tmp_path: Path, name: Name) -> None:
    with serving(Standin(tile("ticket-helper"))) as scripted:
        page = sign_in(opened(monkeypatch, tmp_path, scripted.url))
        scripted.silent = True
        assert words(turn_to(page, name)).count("watch does not answer** since") == 1


def test_the_pages_without_keep_say_so(monkeypatch: Patch, tmp_path: Path) -> None:
    with serving(Standin(tile("ticket-helper"))) as scripted:
        page = sign_in(opened(monkeypatch, tmp_path, scripted.url))
        for name in (Name.AGENTS, Name.TRACES, Name.SPEND, Name.AUDIT, Name.HEALTH):
            until(lambda name=name: "keep does not answer" in words(turn_to(page, name)), f"{name} says so")
            assert not page.exception
            assert "ticket-helper" not in texts(page) or name is Name.HEALTH


def test_a_statement_is_kept_for_its_person_and_used_again(page: AppTest, running: Roles) -> None:
    turn_to(page, Name.AUDIT, tab="SQL")
    press(page, "Run")
    assert [error.value for error in page.error] == ["Write a statement, or begin with an example above."]
    page.text_area(key="sql").input("SELECT 1 AS mine")
    press(page, "Keep this statement")
    assert [error.value for error in page.error] == ["Write a statement, and a title to keep it under."]
    page.text_area(key="sql").input("SELECT 1 AS mine")
    page.text_input(key="title").input("My <b>question</b>")
    press(page, "Keep this statement")
    page.text_area(key="sql").input("SELECT 2 AS other").run()
    page.selectbox(key="kept").select("My <b>question</b>").run()
    press(page, "Use")

    assert page.text_area(key="sql").value == "SELECT 1 AS mine"
    stranger = Person("operator:somebody-else", "x", Role.OPERATOR)
    assert saved.saved(running.config, stranger) == {}
    press(page, "Forget")
    assert page.selectbox(key="kept").options == []


def test_how_far_the_log_is_verified_is_said(page: AppTest, running: Roles) -> None:
    settled(turn_to(page, Name.AUDIT))
    assert [line for line in texts(page) if line.startswith("watch: nothing verified yet; ")]

    ControlClient.local(running.config).verified({"watch": 1})
    until(lambda: [line for line in texts(settled(page.run())) if " number 0; " in line], "the mark moves")


def test_health_lists_receipts_that_are_due_and_the_board_is_red(monkeypatch: Patch, tmp_path: Path) -> None:
    due = {"command": "cmd_1", "order": "kill", "scope": "agent:ticket-helper", "age": 9.0, "missing": ["shop-1"]}
    with serving(Standin(tile("ticket-helper"))) as scripted:
        scripted.awaited = [due]
        page = sign_in(opened(monkeypatch, tmp_path, scripted.url))
        assert ":red-badge[:material/running_with_errors: 1 process has not confirmed a stop]" in words(page)

        rows = table(turn_to(page, Name.HEALTH), "Not confirmed by")
        assert [(row["Command"], row["Not confirmed by"], row["State"][:7]) for row in rows] == [
            ("kill", "shop-1", "OVERDUE")
        ]
        scripted.awaited = []
        assert "Every process has confirmed" in words(page.run())


def test_health_tells_what_waits_in_the_spool_and_what_was_refused(page: AppTest) -> None:
    settled(turn_to(page, Name.HEALTH))
    shown = until(
        lambda: {m.label: m.value for m in page.run().metric if m.value != "not known"}.get("Spans refused"),
        "receive's figures",
    )
    assert shown == "0"


@pytest.mark.parametrize("title", queries.EXAMPLES)
def test_every_example_of_the_console_may_run(running: Roles, title: str) -> None:
    rows = queries.select(running.config, running.token("operator"), queries.EXAMPLES[title], 10)
    assert rows or "Denials" in title, "nothing was denied"
