"""Rules of alerts: what is refused, who is told, what keeps an alert back, and what reached nobody."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from collector.alerts.alert import MEANINGS, Severity
from collector.alerts.build import Workshop
from collector.alerts.matching import Match
from collector.alerts.register import LATE_S, MAX_ALERTS, Register, Silence
from collector.alerts.routing import Router
from collector.alerts.rules import (
    AlertRules,
    AmqpRule,
    AppriseRule,
    EmailRule,
    HeartbeatRule,
    Inhibition,
    Links,
    Route,
    SlackRule,
    WebhookRule,
    Wording,
    load_alert_rules,
)
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.errors import ConfigError
from tests.collector.receiver import SECRET, alert
from tools.layers import ROOT

GUIDE = ROOT / "docs" / "guide" / "alerts.md"
PAGER = f"""
[sinks.pager]
type = "webhook"
url = "https://pager.example.com/hooks/1"
keys = ["{SECRET}"]
"""
MAIL = """
[sinks.mail]
type = "email"
host = "smtp.example.com"
sender = "fusebox@example.com"
to = ["jo@example.com"]
"""
CHAT = """
[sinks.chat]
type = "slack"
url = "https://hooks.slack.com/services/T/B/secret-path"
"""


def rules(tmp_path: Path, text: str) -> AlertRules:
    file = tmp_path / "alerts.toml"
    file.write_text(text)
    return load_alert_rules(file)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("[sinks.pager]\ntype = 'pigeon'", "sinks.pager"),
            (PAGER + "colour = 'red'", "colour"),
            (PAGER.replace("keys", "keyes"), "keyes"),
            (PAGER + '[[routes]]\nsinks = ["pagr"]', "no sink 'pagr'"),
            (PAGER + '[[routes]]\nsinks = ["pager"]\ntypes = ["circuit.exploded"]', "circuit.exploded"),
            (PAGER + '[[routes]]\nsinks = ["pager"]\nseverities = ["dire"]', "severities"),
            (PAGER + '[heartbeat]\nsinks = ["nobody"]', "no sink 'nobody'"),
            (PAGER.replace(SECRET, "env:NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
            (PAGER.replace("sinks.pager", "sinks.log"), "take other names"),
            (PAGER.replace("sinks.pager", "sinks.'../x'"), "sinks"),
            (PAGER + 'allow_networks = ["everything"]', "allow_networks"),
            ("routes = [", "alerts.toml"),
            ("[links]\ndashboard = 'fusebox.example.com'", "links.dashboard: "),
            ("[links]\ncontrol = 'javascript:alert(1)'", "links.control: "),
            (PAGER + "[heartbeat]\nevery_s = inf\nsinks = ['pager']", "heartbeat.every_s: "),
            (PAGER + "[[inhibit]]\nsource = {}\ntarget = {}\nfor_s = inf", "inhibit.0.for_s: "),
            (MAIL.replace("jo@example.com", "jo"), "'jo' is no address"),
            (MAIL.replace("jo@example.com", "jo@example.com\\nBcc: x@example.com"), "is no address"),
            (MAIL.replace("fusebox@example.com", "Fusebox"), "'Fusebox' is no address"),
            (MAIL.replace('["jo@example.com"]', '"jo@example.com"'), "sinks.mail.email.to: Input should be a list"),
        ],
    )
    def test_at_start_by_name(self, tmp_path: Path, text: str, complaint: str) -> None:
        with pytest.raises(ConfigError, match=r"alerts\.toml") as refused:
            rules(tmp_path, text)
        assert complaint in str(refused.value)
        assert SECRET not in str(refused.value)

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            (PAGER.replace(SECRET, "whsec_short"), "sinks.pager"),
            (PAGER.replace("https", "gopher"), "sinks.pager"),
            (PAGER.replace("pager.example.com", "pager.example.com:99999"), "sinks.pager"),
            (PAGER.replace("pager.example.com", "büro.example.com"), "xn--"),
            (PAGER.replace("hooks/1", "hooks/no 1"), "%20"),
            ('[sinks.bus]\ntype = "amqp"', "amqp_url"),
            ('[sinks.m]\ntype="email"\nhost="mail.example.com"\ntls="none"\nsender="a@b.c"\nto=["d@e.f"]', "starttls"),
            ("[templates]\nsubject = '$nonsense'", "alerts.toml: templates.subject names nonsense"),
        ],
    )
    def test_what_cannot_be_made(self, tmp_path: Path, text: str, complaint: str) -> None:
        config = Config(data_dir=tmp_path, alerts_file=tmp_path / "alerts.toml")
        made = rules(tmp_path, text)
        with pytest.raises(ConfigError) as refused:
            Workshop(config, made, ManualClock(), "http://127.0.0.1:4320").sinks()
        assert complaint in str(refused.value)

    def test_no_knob_without_a_reader(self) -> None:
        kinds = [WebhookRule, SlackRule, EmailRule, AmqpRule, AppriseRule, Route, Inhibition, HeartbeatRule, Links]
        source = "\n".join(path.read_text() for path in (ROOT / "collector").rglob("*.py"))
        for kind in (*kinds, Wording, AlertRules):
            for field in kind.model_fields.keys() - {"type"}:  # which tells the kinds of sinks apart
                assert re.search(rf"\b(self|_?rule|route|rules|links|templates|_alert_rules)\.{field}\b", source), field

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="alerts_file"):
            load_alert_rules(tmp_path / "alerts.toml")

    def test_a_webhook_without_its_secret(self, tmp_path: Path) -> None:
        config = Config(data_dir=tmp_path, alert_webhook_url="https://pager.example.com/")
        with pytest.raises(ConfigError, match="alert_webhook_secret"):
            Workshop(config, AlertRules(), ManualClock(), "").sinks()

    def test_nothing_that_the_guide_shows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PAGER_KEY", "SLACK_WEBHOOK_URL", "SMTP_PASSWORD", "ONCALL_URL"):
            monkeypatch.setenv(name, {"PAGER_KEY": SECRET, "ONCALL_URL": "ntfy://oncall"}.get(name, "https://a.b/c"))
        shown = re.findall(r"^```toml\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
        made = rules(tmp_path, "\n".join(shown))
        config = Config(data_dir=tmp_path, amqp_url=SecretStr("amqp://127.0.0.1"))
        sinks = [sink.name for sink, _ in Workshop(config, made, ManualClock(), "").sinks()]
        assert sinks == ["log", "pager", "chat", "mail", "bus", "phone"]
        assert made.heartbeat
        assert len(made.routes) == 3

    def test_secrets_may_come_from_the_environment_and_print_masked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PAGER_KEY", SECRET)
        made = rules(tmp_path, PAGER.replace(SECRET, "env:PAGER_KEY") + CHAT)
        assert SECRET not in repr(made)
        assert "secret-path" not in repr(made)
        Workshop(Config(data_dir=tmp_path), made, ManualClock(), "").sinks()


ROUTES = (
    PAGER
    + CHAT
    + """
[[routes]]
severities = ["critical"]
sinks = ["pager"]

[[routes]]
agents = ["billing-*"]
sinks = ["chat"]

[[routes]]
teams = ["support"]
types = ["messages.*"]
sinks = ["chat"]

[[inhibit]]
source = { types = ["telemetry.incomplete"] }
target = { types = ["spans.missing"] }
equal = []
for_s = 300
"""
)


class TestRouting:
    @pytest.fixture
    def router(self, tmp_path: Path, clock: ManualClock) -> Router:
        return Router(rules(tmp_path, ROUTES), ("log", "pager", "chat"), clock)

    def test_by_severity_agent_team_and_type(self, router: Router) -> None:
        assert router.sinks_of(alert(1)) == ("pager", "log")
        assert router.sinks_of(alert(1, agent="billing-eu")) == ("pager", "chat", "log")
        assert router.sinks_of(alert(1, "messages.dead", team="support")) == ("chat", "log")

    def test_what_no_route_takes_goes_to_everybody_unless_it_is_mere_news(self, router: Router) -> None:
        assert router.sinks_of(alert(1, "messages.dead", team="sales")) == ("pager", "chat", "log")
        assert router.sinks_of(alert(1, "circuit.moved")) == ("log",)

    def test_an_inhibition_keeps_back_what_follows_from_another_alert(self, router: Router, clock: ManualClock) -> None:
        gap = alert(2, "spans.missing")
        assert router.inhibitor(gap) == ""
        assert router.inhibitor(alert(1, "telemetry.incomplete")) == ""
        assert "telemetry.incomplete" in router.inhibitor(gap)
        assert router.inhibitor(alert(3, "messages.dead")) == ""
        clock.advance(301)
        assert router.inhibitor(gap) == ""

    def test_every_type_has_a_severity_and_a_sentence(self) -> None:
        for type, (severity, meaning) in MEANINGS.items():
            assert alert(1, type).severity is severity
            assert meaning
        assert alert(1, severity="info").severity is Severity.INFO


class TestRegister:
    def test_an_alert_that_reached_nobody_is_named_until_it_does(self) -> None:
        register = Register()
        register.add(alert(1), ["log", "pager", "chat"], 0.0)
        register.ended("alert_1", "log", "delivered")
        assert register.undelivered(LATE_S) == []
        assert [alert.id for alert in register.undelivered(LATE_S + 1)] == ["alert_1"]
        register.ended("alert_1", "pager", "given up")
        register.ended("alert_1", "chat", "gone")
        assert [alert.id for alert in register.undelivered(0.0)] == ["alert_1"]  # there is nothing to wait for
        register.ended("alert_1", "chat", "delivered")
        assert register.undelivered(LATE_S + 1) == []

    def test_the_log_counts_where_there_is_nothing_else(self) -> None:
        register = Register()
        register.add(alert(1), ["log"], 0.0)
        assert [alert.id for alert in register.undelivered(LATE_S + 1)] == ["alert_1"]
        register.ended("alert_1", "log", "delivered")
        assert register.undelivered(LATE_S + 1) == []

    def test_somebody_who_takes_care_is_somebody_who_was_reached(self) -> None:
        register = Register()
        register.add(alert(1), ["pager"], 0.0)
        assert register.acknowledge("alert_1", "jo", "on it", 5.0)
        assert not register.acknowledge("alert_1", "mo", "me too", 6.0)
        assert not register.acknowledge("alert_2", "mo", "what", 6.0)
        assert register.undelivered(LATE_S + 1) == []
        assert register.json(7.0)["alerts"][0]["acknowledged"]["by"] == "jo"

    def test_a_silence_ends_by_itself(self) -> None:
        register = Register()
        silence = Silence("sil_1", Match(agents=("bot*",)), 100.0, "jo", "load test")
        register.silence(silence)
        assert "load test" in register.silenced(alert(1), 99.0)
        assert register.silenced(alert(1, agent="other"), 99.0) == ""
        assert register.silenced(alert(1), 100.0) == ""
        assert Silence.of(silence.json()) == silence

    def test_it_is_bounded_and_what_has_not_ended_stays_longest(self) -> None:
        register = Register()
        register.add(alert(0), ["pager"], 0.0)
        for number in range(1, MAX_ALERTS + 10):
            register.add(alert(number), ["log"], 0.0)
            register.ended(f"alert_{number}", "log", "delivered")
        assert register.entry("alert_0") is not None
        assert register.entry("alert_1") is None
        assert register.entry(f"alert_{MAX_ALERTS + 9}") is not None
