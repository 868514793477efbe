"""Rules of alerts, as operators write them (``alerts.toml``): sinks, routes, inhibitions, heartbeat, templates.

::

    [sinks.pager]
    type = "webhook"
    url = "https://pager.example.com/hooks/fusebox"
    keys = ["env:PAGER_KEY"]                       # whsec_… or whsk_…; env:NAME takes it from the environment

    [[routes]]
    teams = ["support"]
    severities = ["critical"]
    sinks = ["pager"]

Every key has a reader: one that is unknown is refused, and so is a route to a sink that there is not.
"""

from __future__ import annotations

import os
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from collector.alerts.matching import Match
from collector.alerts.sinks.http import Network
from collector.alerts.sinks.log import LOG
from collector.alerts.waiting import Grouping
from fusebox.toml_file import read_toml

_ENV: Final = "env:"
GROUP_S: Final = 1.0
"""Short enough that whoever trips amid a storm is told of within two seconds; as often as Slack takes a message."""
WEBHOOK: Final = "webhook"
"""Name of the sink that ``alert_webhook_url`` makes."""


def _from_environment(text: Any) -> Any:
    if not (isinstance(text, str) and text.startswith(_ENV)):
        return text
    name = text.removeprefix(_ENV)
    if name not in os.environ:
        raise ValueError(f"the environment has no {name}")
    return os.environ[name]


def _mailbox(text: str) -> str:
    if not (text.isprintable() and all(parseaddr(text)[1].partition("@"))):
        raise ValueError(f"{text!r} is no address of a mailbox")
    return text


def _place(url: str) -> str:
    parts = urlsplit(url)
    if url and not (parts.scheme in ("http", "https") and parts.netloc and not parts.query and not parts.fragment):
        raise ValueError(f"{url!r} is no http(s) address that a page's name can follow; Slack would refuse the link")
    return url


Secret = Annotated[SecretStr, BeforeValidator(_from_environment)]
"""A secret, or ``env:NAME``."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""Becomes the name of a folder and a label of figures."""
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Place = Annotated[str, AfterValidator(_place)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Rule(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PeopleSink(Rule):
    """What every sink for people has: the first of a group is told at once, the rest once in ``group_s`` seconds."""

    group_s: Seconds = GROUP_S
    group_by: tuple[Literal["type", "agent", "team", "severity"], ...] = ("type",)

    @property
    def grouping(self) -> Grouping:
        """As the outbox takes it."""
        return Grouping(self.group_s, self.group_by)


class HttpSink(PeopleSink):
    """What is posted; ``allow_networks`` are networks that are not public and may be posted to nevertheless."""

    url: Secret
    allow_networks: tuple[Network, ...] = ()


class WebhookRule(HttpSink):
    """``[sinks.NAME] type = "webhook"``."""

    type: Literal["webhook"]
    keys: tuple[Secret, ...] = Field(min_length=1)


class SlackRule(HttpSink):
    """``[sinks.NAME] type = "slack"``: an incoming webhook."""

    type: Literal["slack"]


class EmailRule(PeopleSink):
    """``[sinks.NAME] type = "email"``."""

    type: Literal["email"]
    host: Annotated[str, Field(min_length=1)]
    port: int = Field(587, gt=0, le=65_535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str = ""
    password: Secret = SecretStr("")
    sender: Mailbox
    to: tuple[Mailbox, ...] = Field(min_length=1)


class AmqpRule(Rule):
    """``[sinks.NAME] type = "amqp"``; ``url`` is ``amqp_url`` where it is left out."""

    type: Literal["amqp"]
    url: Secret | None = None


class AppriseRule(PeopleSink):
    """``[sinks.NAME] type = "apprise"``."""

    type: Literal["apprise"]
    url: Secret


SinkRule = Annotated[
    WebhookRule | SlackRule | EmailRule | AmqpRule | AppriseRule, Field(discriminator="type")
]  # fmt: skip


class Route(Match):
    """``[[routes]]``: what it takes goes to ``sinks``."""

    sinks: tuple[Name, ...] = Field(min_length=1)


class Inhibition(Rule):
    """``[[inhibit]]``: after a ``source``, for ``for_s`` seconds, no ``target`` that agrees with it in ``equal``."""

    source: Match
    target: Match
    equal: tuple[Literal["agent", "team", "type"], ...] = ("agent",)
    for_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0


class HeartbeatRule(Rule):
    """``[heartbeat]``: all is well, every ``every_s`` seconds, to ``sinks``; somebody else notices when it stops."""

    every_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 60.0
    sinks: tuple[Name, ...] = Field(min_length=1)


class Links(Rule):
    """``[links]``: where people reach the dashboard and the control API, when not on this machine."""

    dashboard: Place = ""
    control: Place = ""


class Wording(Rule):
    """``[templates]``; see :mod:`collector.alerts.text`."""

    subject: str = ""
    text: str = ""


class AlertRules(Rule):
    """The whole file; without one, there are the log and what ``alert_webhook_url`` says."""

    sinks: dict[Name, SinkRule] = {}
    routes: tuple[Route, ...] = ()
    inhibit: tuple[Inhibition, ...] = ()
    heartbeat: HeartbeatRule | None = None
    links: Links = Links()
    templates: Wording = Wording()

    @model_validator(mode="after")
    def _names(self) -> AlertRules:
        if {LOG, WEBHOOK} & self.sinks.keys():
            raise ValueError(f"sinks.{LOG} and sinks.{WEBHOOK} are there anyway (alert_webhook_url); take other names")
        used = [name for route in self.routes for name in route.sinks]
        used += self.heartbeat.sinks if self.heartbeat else ()
        for name in used:
            if name not in {LOG, WEBHOOK, *self.sinks}:
                raise ValueError(f"there is no sink {name!r}; write [sinks.{name}]")
        return self


def load_alert_rules(path: Path | None) -> AlertRules:
    """Read ``alerts_file``.

    Raises:
        ConfigError: it is missing or no TOML, or something in it does not fit; the text names it.
    """
    if path is None:
        return AlertRules()
    return read_toml(path, AlertRules, "write it, or unset alerts_file")
