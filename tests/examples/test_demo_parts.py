"""The demo's parts that need no running installation."""

import http.client
import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from examples import demo
from examples.crew import NAMES
from examples.demo_incident import Incident
from examples.demo_people import Response
from examples.demo_screen import Screen
from examples.demo_settings import Options, data_folder, registry_file, settings
from examples.demo_sql import Totals
from examples.demo_summary import Outcome
from examples.pager import Pager
from examples.web import ServiceRefused, call
from fusebox.clock import SystemClock
from fusebox.config import CONFIG_ENV, Config, load_config
from fusebox.errors import ConfigError
from fusebox.webhooks import signed_headers
from governance.registry import load_registry

TRIP = {
    "agent": "ticket-helper", "time": 12.5, "reason": "no progress",
    "finding": {"detector": "repetition", "first_time": 10.0, "spans": ["a:b"], "repeated": "x × 5"},
}  # fmt: skip
KEYS = [
    "messages", "spans_stored", "tokens", "cost_usd", "trip", "unprotected_comments", "comments", "alerts_delivered",
    "kill_seconds", "held", "resumed_delivered",
]  # fmt: skip


def outcome(comments: int = 5, twin: int = 120, delivered: int = 3) -> Outcome:
    incident = Incident("TCK-1", comments, TRIP, (), held=3)
    return Outcome(Totals(9, 100, 0.25, 30), twin, incident, Response(1, 0.1, 0.2, delivered), 13)  # type: ignore[arg-type]


def test_the_json_object_has_exactly_the_promised_keys() -> None:
    data = json.loads(json.dumps(outcome().json()))
    assert list(data) == KEYS
    assert data["trip"] == {
        "agent": "ticket-helper", "detector": "repetition", "actions_from_onset": 13, "seconds_from_onset": 2.5
    }  # fmt: skip


def test_the_twin_alone_has_the_same_keys_and_no_trip() -> None:
    data = Outcome(Totals(9, 100, 0.25, 30), 120).json()  # type: ignore[arg-type]
    assert list(data) == KEYS
    assert data["trip"] is None


def test_a_story_that_held_has_no_failures_and_each_that_did_not_names_its_own() -> None:
    assert outcome().failures() == []
    assert outcome(comments=7).failures() == ["7 comments, more than 6"]
    assert "not more than 100" in outcome(twin=100).failures()[0]
    assert "only 2 of 3" in outcome(delivered=2).failures()[0]


def test_settings_are_the_same_for_children_whatever_the_shell_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pager = Pager(SystemClock())
    pager.stop()
    monkeypatch.setenv("FUSEBOX_CONTROL_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FUSEBOX_REDIS_URL", "redis://127.0.0.1:1")
    chosen = settings(tmp_path, tmp_path / "agents.toml", pager, "amqp://127.0.0.1:1")
    for name, value in chosen.environment.items():
        monkeypatch.setenv(name, value)
    assert load_config() == chosen.config
    assert chosen.config.control_url is None
    assert set(chosen.environment) == {f"FUSEBOX_{n.upper()}" for n in Config.model_fields} | {CONFIG_ENV}


def test_every_agent_of_the_demo_is_registered_with_an_owner() -> None:
    with registry_file() as path:
        registry = load_registry(path)
    assert set(registry.agents) == set(NAMES)
    assert all(entry.owner for entry in registry.agents.values())


def test_a_temporary_folder_goes_and_a_named_one_stays(tmp_path: Path) -> None:
    with data_folder(Options()) as temporary:
        assert temporary.is_dir()
    with data_folder(Options(data_dir=tmp_path / "mine")) as named:
        (named / "file").touch()
    assert not temporary.exists()
    assert (tmp_path / "mine" / "file").exists()


def test_a_named_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="not empty"), data_folder(Options(data_dir=tmp_path)):
        pass


def test_the_broker_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.PrivateNode, "available", staticmethod(lambda: False))
    assert demo.choose_broker("in-process", "amqp://x") == demo.Broker()
    assert demo.choose_broker("auto", "amqp://x") == demo.Broker("amqp://x")
    assert demo.choose_broker("auto", None) == demo.Broker()
    with pytest.raises(ConfigError, match="rabbitmq-server"):
        demo.choose_broker("rabbitmq", None)
    monkeypatch.setattr(demo.PrivateNode, "available", staticmethod(lambda: True))
    assert demo.choose_broker("auto", None) == demo.Broker(private_node=True)


def test_the_pager_counts_an_alert_once_and_believes_no_stranger() -> None:
    pager = Pager(SystemClock())
    pager.start()
    try:
        _page(pager, "alert_1")
        _page(pager, "alert_1")
        _page(pager, "alert_2")
        with pytest.raises(ServiceRefused) as refused:
            call("POST", f"{pager.url}/", {"type": "circuit.opened"})
    finally:
        pager.stop()
    assert refused.value.status == 401
    assert [alert["n"] for alert in pager.alerts] == ["alert_1", "alert_2"]


def test_what_agents_write_cannot_style_the_screen_and_lines_are_not_wrapped() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=60, highlight=False))
    screen.event("helper", "[bold]not bold[/] " + "long " * 40)
    screen.plain("x" * 200)
    lines = out.getvalue().splitlines()
    assert "[bold]not bold[/]" in lines[0]
    assert len(lines[0]) <= 60
    assert lines[1] == "x" * 200


def _page(pager: Pager, id: str) -> None:
    host = pager.url.removeprefix("http://")
    body = json.dumps({"n": id}).encode()
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("POST", "/", body, signed_headers(pager.secret, id, int(time.time()), body))
    assert connection.getresponse().status == 200
    connection.close()
