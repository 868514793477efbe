"""Sinks, made of their rules."""

from __future__ import annotations

from collector.alerts.rules import (
    GROUP_S,
    WEBHOOK,
    AlertRules,
    AmqpRule,
    AppriseRule,
    EmailRule,
    SlackRule,
    WebhookRule,
)
from collector.alerts.sinks import Sink
from collector.alerts.sinks.amqp import AmqpSink
from collector.alerts.sinks.apprise import AppriseSink
from collector.alerts.sinks.email import EmailSink, Server
from collector.alerts.sinks.http import EVERYWHERE, Poster
from collector.alerts.sinks.log import LogSink
from collector.alerts.sinks.slack import SlackSink
from collector.alerts.sinks.webhook import WebhookSink
from collector.alerts.text import SUBJECT, TEXT, Templates
from collector.alerts.waiting import Grouping
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.errors import ConfigError
from rabbitmq.amqp import AmqpBroker

Grouped = tuple[Sink, Grouping]


class Workshop:
    """Makes the sinks of one installation.

    Args:
        control: where people reach the control API.

    Raises:
        ConfigError: a template is none.
    """

    def __init__(self, config: Config, rules: AlertRules, clock: Clock, control: str) -> None:
        self._config, self._rules, self._clock = config, rules, clock
        self._control = rules.links.control or control
        try:
            self._templates = Templates(rules.templates.subject or SUBJECT, rules.templates.text or TEXT)
        except ConfigError as error:
            raise ConfigError(f"{config.alerts_file}: {error}") from error

    def sinks(self) -> list[Grouped]:
        """The log, what ``alert_webhook_url`` asks for, and those of the rules.

        Raises:
            ConfigError: one of them cannot be made; the text names it.
        """
        made: list[Grouped] = [(LogSink(self._config.data_dir / "alerts.log"), Grouping())]
        if (url := self._config.secret("alert_webhook_url")) is not None:
            made.append((self._configured(url), Grouping(GROUP_S)))
        for name, rule in self._rules.sinks.items():
            grouping = Grouping() if isinstance(rule, AmqpRule) else rule.grouping
            made.append((self._named(name, rule), grouping))
        return made

    def _configured(self, url: str) -> Sink:
        secret = self._config.secret("alert_webhook_secret")
        if secret is None:
            raise ConfigError(
                "alert_webhook_url is set but alert_webhook_secret is not; a webhook must be signed (whsec_… or whsk_…)"
            )
        allowed = EVERYWHERE if self._config.alert_webhook_private else ()
        try:
            return WebhookSink(WEBHOOK, Poster(url, allowed), [secret], self._clock)
        except ConfigError as error:
            raise ConfigError(f"alert_webhook_url or alert_webhook_secret: {error}") from error

    def _named(self, name: str, rule: WebhookRule | SlackRule | EmailRule | AmqpRule | AppriseRule) -> Sink:
        try:
            return self._make(name, rule)
        except ConfigError as error:
            raise ConfigError(f"{self._config.alerts_file}: sinks.{name}: {error}") from error

    def _make(self, name: str, rule: WebhookRule | SlackRule | EmailRule | AmqpRule | AppriseRule) -> Sink:
        match rule:
            case WebhookRule():
                keys = [key.get_secret_value() for key in rule.keys]
                return WebhookSink(name, _poster(rule), keys, self._clock)
            case SlackRule():
                return SlackSink(name, _poster(rule), self._templates, self._control)
            case EmailRule():
                server = Server(rule.host, rule.port, rule.tls, rule.user, rule.password.get_secret_value())
                return EmailSink(name, server, rule.sender, rule.to, self._templates, self._clock)
            case AppriseRule():
                return AppriseSink(name, rule.url.get_secret_value(), self._templates)
            case AmqpRule():
                url = rule.url.get_secret_value() if rule.url else self._config.secret("amqp_url")
                if url is None:
                    raise ConfigError("it has no url, and amqp_url is not set; name a RabbitMQ")
                return AmqpSink(name, AmqpBroker(url, client_name="fusebox-alerts"), self._clock)


def _poster(rule: WebhookRule | SlackRule) -> Poster:
    return Poster(rule.url.get_secret_value(), rule.allow_networks)
