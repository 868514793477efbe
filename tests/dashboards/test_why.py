"""The page "Why": a walk over real spans, drawn by a real browser, with an agent that tries to be more than text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.keep.audit_copy import AuditCopy
from collector.why import Direction, dot, explain
from collector.why.graph import MAX_NODES
from dashboards.service import ROLE, Dashboard
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.rundir import lookup
from tests.collector.spans import NOW, Span, request
from tests.collector.sql_bench import Port, serving
from tests.dashboards.hostile import CANARY, HOSTILE
from tests.dashboards.standin import TOKEN, Standin, running, tile

SLOW = 20_000


@dataclass(frozen=True)
class Site:
    """A dashboard, the database it asks, and the control API it asks who may look."""

    url: str
    port: Port
    control: Standin


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("why")
    with serving(folder) as port, running(Standin(tile("ticket-helper"))) as control:
        port.bench.store(request(*_hostile(), *_many()))
        journal = Journal(folder / "journal", ManualClock(NOW), "watch")
        journal.append(Note("denial", HOSTILE[0], "evil", HOSTILE[1], trace_id=f"{50:032x}"))
        AuditCopy(port.bench.engine, folder / "journal").step()
        config = Config(data_dir=folder, dashboard_port=0, control_url=control.url, sql_url=port.url)
        service = Dashboard(config)
        service.start()
        info = lookup(folder, ROLE)
        assert info
        yield Site(info["url"], port, control)
        service.stop()


def _hostile() -> list[Span]:
    """A handler whose every name is an attack, and its tool calls."""
    calls = [
        Span(5100 + n, 50, 5000, text, 1, NOW + n, attributes={"gen_ai.agent.id": "evil", "fusebox.target": text})
        for n, text in enumerate(HOSTILE)
    ]
    return [Span(5000, 50, name="process", kind=5, start=NOW, attributes={"gen_ai.agent.id": HOSTILE[0]}), *calls]


def _many() -> list[Span]:
    return [Span(7000, 70, name="process"), *(Span(7001 + n, 70, 7000, "work") for n in range(MAX_NODES + 5))]


def _shown(window: Page, site: Site, id: str, way: str) -> Page:
    window.goto(f"{site.url}/why")
    window.get_by_label("Operator token").fill(TOKEN)
    window.get_by_role("button", name="Sign in").click()
    window.get_by_label(re.compile("^Span, trace")).fill(id)
    window.get_by_text(way, exact=True).click()
    window.get_by_role("button", name="Show").click()
    return window


def test_a_walk_is_a_graph_whose_every_word_is_text(window: Page, site: Site) -> None:
    asked: list[str] = []
    window.on("request", lambda sent: asked.append(sent.url))
    page = _shown(window, site, f"{5000:016x}", "What came of it")
    graph = page.get_by_test_id("stGraphVizChart").locator("svg")
    expect(graph.get_by_text("denial by", exact=False).first).to_be_visible(timeout=SLOW)
    for text in ("<script>window.pwned = 1</script>", "**bold** _em_ ~~gone~~ `code`"):
        assert graph.get_by_text(text, exact=False).count() > 0
    assert page.evaluate("window.pwned") is None
    assert page.locator("svg script, svg image, svg a, svg foreignObject").count() == 0
    assert not [url for url in asked if url.startswith(CANARY)]


def test_an_address_with_a_question_shows_its_answer_to_whoever_signs_in(window: Page, site: Site) -> None:
    window.goto(f"{site.url}/why?id={5000:016x}&way=What+came+of+it")
    window.get_by_label("Operator token").fill(TOKEN)
    window.get_by_role("button", name="Sign in").click()
    expect(window.get_by_test_id("stGraphVizChart").locator("svg").first).to_be_visible(timeout=SLOW)
    expect(window.get_by_role("radio", name="What came of it")).to_be_checked()


def test_an_unknown_id_is_said_and_a_withdrawn_token_shows_no_prompt(window: Page, site: Site) -> None:
    page = _shown(window, site, "no such thing", "What led to it")
    expect(page.get_by_text("Nothing has this id.")).to_be_visible(timeout=SLOW)
    site.control.tokens.clear()
    try:
        page.get_by_label(re.compile("^Span, trace")).fill(f"{5100:016x}")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("no longer accepted")).to_be_visible(timeout=SLOW)
        expect(page.get_by_test_id("stGraphVizChart")).to_have_count(0, timeout=SLOW)
    finally:
        site.control.tokens[TOKEN] = "ann"


@pytest.mark.parametrize("direction", Direction)
def test_labels_cannot_leave_their_quotes(site: Site, direction: Direction) -> None:
    for number in range(len(HOSTILE)):
        text = dot(explain(site.port.bench.engine.reader(), f"{5100 + number:016x}", direction))
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
        assert not re.search(r"[<`$]|https?:|script|javascript|href|URL", bare), bare
        assert "\x1b" not in text


def test_a_large_graph_is_cut_and_says_so(site: Site) -> None:
    text = dot(explain(site.port.bench.engine.reader(), f"{7000:016x}", Direction.FORWARD))
    assert text.count(" -> ") == MAX_NODES - 1
    assert "6 more steps" in text
