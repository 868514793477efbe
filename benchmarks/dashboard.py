"""How soon the dashboard shows something useful, and how long a page takes to show it anew, over ten million spans.

The roles *keep*, *watch* and *dashboard* run on ``benchmarks.warehouse``'s data with a thousand registered agents; a
real Chromium is the reader. first_paint_s is from choosing a page (for the board: from signing in) until what it is for
can be seen (its first table or tile), with nothing kept from before: a round begins when the dashboard, which shows to
everybody what one has asked, would show no answer of the last one any more. refresh_s is from choosing another period
until its answer stands (for the board: from looking for an agent until its tile stands). Both are the worst page's
median, and include the browser's drawing, the SQL port and the database.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.report import Report
from benchmarks.warehouse import warehouse
from dashboards.ask import LASTING_S
from dashboards.history import EARLIER_S
from fusebox.config import PREFIX, Config, load_config
from fusebox.rundir import lookup
from fusebox.supervisor import Supervisor

_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_PORTS: Final = ("http", "grpc", "control", "sql", "dashboard", "dashboard_metrics")
_WAIT_MS: Final = 30_000
_AGENTS: Final = 1_000
_PAGES: Final = {
    "Agents": "[data-testid=stDataFrame]",
    "Traces": "[data-testid=stDataFrame]",
    "Tokens and cost": "[data-testid=stDataFrame]",
    "Health": "[data-testid=stMetric]",
}
"""Pages by name, and what they are for."""
_LISTEN: Final = """() => {
    const app = document.querySelector('[data-test-script-state]');
    const state = () => app.getAttribute('data-test-script-state');
    window.runs = 0;
    window.listener?.disconnect();
    window.listener = new MutationObserver(() => { if (state() === 'notRunning') window.runs += 1; });
    window.listener.observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
}"""
"""Counts how often the script of the page came to its end."""
_PERIODS: Final = ("6 h", "24 h", "1 h")
_FORGOTTEN_S: Final = EARLIER_S + LASTING_S


@contextmanager
def running(folder: Path) -> Iterator[Config]:
    """The roles on ``folder``."""
    registry = folder / "agents.toml"
    registry.write_text("".join(f'[agents.agent-{n:04}]\nowner = "jo"\n' for n in range(_AGENTS)))
    ports = {f"{name.upper()}_PORT": "0" for name in _PORTS}
    settings = {"DATA_DIR": str(folder), "AGENTS_FILE": str(registry), **ports}
    variables = {PREFIX + name: value for name, value in settings.items()}
    os.environ.update(variables)
    config = load_config()
    supervisor = Supervisor(config, ("keep", "watch", "dashboard"), variables)
    supervisor.start()
    try:
        yield config
    finally:
        supervisor.stop()


def sign_in(page: Page, config: Config) -> float:
    """Seconds from pressing the button until the board stands."""
    info = lookup(config.data_dir, "dashboard")
    assert info
    page.goto(info["url"])
    page.get_by_label("Operator token").fill((config.data_dir / "operator.token").read_text().strip())
    begun = time.perf_counter()
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[class*=st-key-tile-]").first).to_be_visible(timeout=_WAIT_MS)
    return time.perf_counter() - begun


def find(page: Page, agent: str) -> float:
    """Seconds from looking for an agent until its tile stands."""
    begun = time.perf_counter()
    page.get_by_label("Find an agent, owner or team").fill(agent)
    page.keyboard.press("Enter")
    expect(page.locator("[class*=st-key-agent-]").get_by_text(agent)).to_be_visible(timeout=_WAIT_MS)
    return time.perf_counter() - begun


def first(page: Page, name: str, shown: str) -> float:
    """Seconds from choosing a page until it shows what it is for."""
    begun = time.perf_counter()
    page.get_by_role("link", name=name).first.click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible(timeout=_WAIT_MS)
    expect(page.locator(shown).first).to_be_visible(timeout=_WAIT_MS)
    return time.perf_counter() - begun


def again(page: Page, period: str) -> float:
    """Seconds from choosing a period until nothing is being read any more."""
    page.evaluate(_LISTEN)
    begun = time.perf_counter()
    page.get_by_role("radio", name=period, exact=True).click()
    page.wait_for_function("window.runs > 0", timeout=_WAIT_MS)
    expect(page.get_by_text("Reading…")).to_have_count(0, timeout=_WAIT_MS)
    return time.perf_counter() - begun


def measure(config: Config, rounds: int) -> dict[str, tuple[float, float]]:
    """For each page the median of first paint and of refresh."""
    firsts: dict[str, list[float]] = {}
    refreshes: dict[str, list[float]] = {}
    program = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        for _ in range(rounds):
            begun = time.monotonic()
            page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
            firsts.setdefault("Board", []).append(sign_in(page, config))
            refreshes.setdefault("Board", []).extend(find(page, f"agent-{n:04}") for n in (777, 888, 999))
            for name, shown in _PAGES.items():
                firsts.setdefault(name, []).append(first(page, name, shown))
                refreshes.setdefault(name, []).extend(again(page, period) for period in _PERIODS)
            page.context.close()
            time.sleep(max(0.0, _FORGOTTEN_S - (time.monotonic() - begun)))
        browser.close()
    return {name: (statistics.median(firsts[name]), statistics.median(refreshes[name])) for name in firsts}


@contextmanager
def data_folder(kept: Path | None) -> Iterator[Path]:
    """``kept``, or a folder that goes away."""
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory(prefix="fusebox-bench-") as name:
            yield Path(name)


def built(folder: Path, rows: int) -> int:
    """How many spans ``folder`` holds; at least ``rows``."""
    with warehouse(folder) as data:
        if data.rows() < rows:
            data.grow(rows)
        return data.rows()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a million spans, one round: is it alive?")
    parser.add_argument("--data", type=Path, help="a folder to keep the spans in; good for half an hour")
    parser.add_argument("--build", action="store_true", help="only make the spans")
    args = parser.parse_args()
    rows, rounds = (1_000_000, 1) if args.quick else (10_000_000, 5)
    with data_folder(args.data) as folder:
        stored = built(folder, rows)
        if args.build:
            return
        with running(folder) as config:
            found = measure(config, rounds)
    _show(found)
    report = Report("dashboard")
    report.add("first_paint_s", max(paint for paint, _ in found.values()), ("<=", 2.0))
    report.add("refresh_s", max(refresh for _, refresh in found.values()), ("<=", 1.0))
    report.add("rows", stored)
    report.show()


def _show(found: dict[str, tuple[float, float]]) -> None:
    table = Table("page", "first paint, s", "refresh, s")
    for name, (paint, refresh) in found.items():
        table.add_row(name, f"{paint:.2f}", f"{refresh:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
