"""What is not known: a canary through the whole path, the watermark, and what people are told is missing."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from collector import queries
from collector.watch.canary import LATE_S, Canary
from collector.watch.completeness import Completeness
from fusebox import names
from fusebox.cli import main
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.eventmap import SpanFacts
from fusebox.records import Finding
from tests.collector.otlp_samples import request, span
from tests.fixtures.authority import Authority
from tests.fixtures.collector import StartRoles, until
from tests.fixtures.secured import Secured


def test_a_canary_goes_through_every_role_and_sets_the_watermark(roles: StartRoles) -> None:
    running = roles("receive", "keep", "watch", env={"FUSEBOX_CANARY_S": "0.2"})
    watch = running.info("watch")["url"]
    board = ControlClient(watch, running.token("operator")).board
    first = until(lambda: board()["freshness"]["stored"], "a canary came through")
    until(lambda: board()["freshness"]["stored"] > first, "and another")
    assert until(lambda: board()["watermark"], "detection has met one") >= first - 1
    assert board()["freshness"]["incomplete"] == []
    assert (board()["circuits"], board()["freshness"]["canary_seconds"] > 0) == ([], True)
    client = queries.connect(running.config)
    assert queries.run(client, "freshness", since=first - 60)[0]["watermark"] >= first
    assert queries.run(client, "spans_total") == [{"spans": 0}]
    client.close()
    for role, lines in {
        "receive": ("otelcol_receiver_accepted_spans_total", "otelcol_exporter_queue_capacity"),
        "keep": ("otelcol_exporter_sent_spans_total", "otelcol_exporter_send_failed_spans_total"),
        "watch": ("otelcol_processor_incoming_items_total", "otel_sdk_processor_span_processed_total"),
    }.items():
        page = requests.get(running.info(role)["url"] + "/metrics", timeout=5).text
        values = {line.partition("{")[0]: float(line.split()[-1]) for line in page.splitlines() if line[0] != "#"}
        assert set(lines) <= set(values)
        if role != "receive":
            assert values[lines[0]] >= 2, "canaries are spans, too"


def test_a_canary_goes_by_the_way_of_agents_behind_a_proxy_with_tls(roles: StartRoles, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    receiving = roles("receive").info("receive")["url"]
    with Secured(receiving, authority.issue("proxy"), cut="/telemetry") as proxy:
        env = {
            "FUSEBOX_CANARY_S": "0.2", "FUSEBOX_OTLP_ENDPOINT": proxy.url, "SSL_CERT_FILE": str(authority.file),
        }  # fmt: skip
        running = roles("keep", "watch", env=env)
        board = ControlClient(running.info("watch")["url"], running.token("operator")).board
        until(lambda: board()["freshness"]["stored"], "a canary came through")


def late(config: Config, clock: ManualClock) -> tuple[Canary, list[str], threading.Event]:
    told: list[str] = []
    heard = threading.Event()

    def hear(reason: str, _: float) -> None:
        told.append(reason)
        heard.set()

    return Canary(config, clock, hear), told, heard


def test_a_path_that_is_cut_is_told_once_with_the_place(tmp_path: Path) -> None:
    clock = ManualClock()
    canary, told, heard = late(Config(data_dir=tmp_path, canary_s=0.01), clock)
    canary.start()
    assert canary.trouble() == ""
    clock.advance(LATE_S + 1)
    assert heard.wait(10)
    assert "receive does not run" in canary.trouble()
    canary.stop()
    assert len(told) == 1
    assert canary.watermark == 0


def test_a_clock_that_is_put_back_hides_neither_a_cut_path_nor_a_loss(tmp_path: Path) -> None:
    clock = ManualClock()
    canary, _, _ = late(Config(data_dir=tmp_path, canary_s=10), clock)
    complete = Completeness(canary, clock)
    for number in (1, 4):
        complete.look(facts(number))
    clock.advance(-3600)
    assert complete.sentences() == []
    clock.advance(LATE_S + 11)
    assert complete.sentences() == [
        "2 spans of bot never arrived", "no canary span came through for 41 s: none was answered"
    ]  # fmt: skip


def test_without_canaries_there_is_no_word_about_them(tmp_path: Path) -> None:
    clock = ManualClock()
    canary, told, _ = late(Config(data_dir=tmp_path, canary_s=0), clock)
    canary.start()
    clock.advance(10 * LATE_S)
    canary.stop()
    assert (canary.trouble(), told) == ("", [])


def facts(number: object, emitter: str = "e1", **more: Any) -> SpanFacts:
    return SpanFacts(
        "t", "s", "", 0, 0, False, "shop", {"gen_ai.agent.id": "bot", names.SEQUENCE: number, **more}, emitter
    )  # type: ignore[dict-item]


def test_losses_are_sentences_and_stand_in_the_findings_of_their_agent(tmp_path: Path) -> None:
    clock = ManualClock()
    complete = Completeness(late(Config(data_dir=tmp_path, canary_s=0), clock)[0], clock)
    for number in (1, 2, 5, "7", -3, True, 2.5):
        assert not complete.look(facts(number))
    assert not complete.look(facts(900, emitter=""))
    finding = Finding("bot", "repetition", 1.0, "six times the same", "open", 6, 5)
    assert complete.doubt(finding) == finding
    clock.advance(60)
    assert complete.sentences() == ["2 spans of bot never arrived"]
    assert complete.doubt(finding).reason == "six times the same (incomplete: 2 spans of this agent never arrived)"
    assert complete.doubt(Finding("other", "x", 1.0, "y", "open", 6, 5)).reason == "y"
    assert complete.look(facts(6, **{names.CANARY: True}))


def test_what_is_missing_from_an_emitter_of_several_agents_may_be_any_ones(tmp_path: Path) -> None:
    """As with the gateway, which speaks for whoever calls it."""
    clock = ManualClock()
    complete = Completeness(late(Config(data_dir=tmp_path, canary_s=0), clock)[0], clock)
    for number, agent in ((1, "bot"), (5, "ann")):
        complete.look(facts(number, **{"gen_ai.agent.id": agent}))
    for number in (1, 4):
        complete.look(facts(number, emitter="e2"))
    clock.advance(60)
    assert sorted(complete.sentences()) == ["2 spans of bot never arrived", "3 spans of shop never arrived"]
    reasons = [complete.doubt(Finding(agent, "x", 1.0, "y", "open", 6, 5)).reason for agent in ("bot", "ann", "kim")]
    assert reasons == [
        "y (incomplete: 5 spans of this agent or of others beside it never arrived)",
        "y (incomplete: 3 spans of this agent or of others beside it never arrived)",
        "y",
    ]
    for agent in range(20):
        complete.look(facts(6 + agent, **{"gen_ai.agent.id": f"agent-{agent}"}))
    clock.advance(60)
    assert "3 spans" in complete.doubt(Finding("kim", "x", 1.0, "y", "open", 6, 5)).reason, "too many to remember"


PRICES = """
[[price]]
model = "house-1"
input_mtok = 1.5
output_mtok = 2
"""


def test_a_number_is_explained_and_repriced_on_record(
    roles: StartRoles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = roles("receive", "keep", "watch")
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(running.config.data_dir))
    call = {"gen_ai.operation.name": "chat", "gen_ai.agent.id": "helper", "gen_ai.request.model": "house-1",
            "gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.output_tokens": 10}  # fmt: skip
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {running.token()}"}
    body = request(span(call), span(call | {"fusebox.usage.cut": True})).SerializeToString()
    url = running.info("receive")["url"] + "/v1/traces"
    assert requests.post(url, body, headers=headers, timeout=5).status_code == 200

    def explained() -> dict[str, Any]:
        capsys.readouterr()
        status = main(["tokens", "explain", "helper", "--since", "2000-01-01", "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert status == (0 if found["rows"] else 1)
        return found

    before = until(lambda: (found := explained())["rows"] and found, "the ledger has the calls")
    assert before["totals"]["unpriced_attempts"] == 2
    assert before["totals"]["wasted_attempts"] == 1
    assert main(["tokens", "explain", "helper", "--since", "2000-01-01"]) == 0
    assert "not in this sum: 2 unpriced attempts, 2000020 tokens" in capsys.readouterr().out

    (tmp_path / "prices.toml").write_text(PRICES)
    monkeypatch.setenv("FUSEBOX_PRICES_FILE", str(tmp_path / "prices.toml"))
    assert main(["tokens", "reprice", "--since", "2000-01-01"]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert main(["tokens", "reprice", "--since", "2000-01-01", "--apply"]) == 2
    assert "--reason" in capsys.readouterr().err
    assert main(["tokens", "reprice", "--since", "2000-01-01", "--apply", "--reason", "contract"]) == 0
    after = until(
        lambda: (found := explained())["totals"]["unpriced_attempts"] == 0 and found, "the ledger follows the journal"
    )
    assert float(after["totals"]["cost_usd"]) == pytest.approx(2 * (1.5 + 10 * 2e-6))
    assert {row["price"].split()[0] for row in after["rows"]} == {"own"}
    client = queries.connect(running.config)
    (entry,) = until(
        lambda: [row for row in queries.run(client, "audit") if row["kind"] == "reprice"], "the journal's copy has it"
    )
    client.close()
    assert (entry["actor"], entry["reason"], len(json.loads(entry["payload"])["rows"])) == (
        "operator:local", "contract", 2
    )  # fmt: skip
