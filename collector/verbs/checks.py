"""The checks behind ``fusebox doctor``. Each looks at one thing and changes nothing."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from collector.alerts.build import Workshop
from collector.alerts.rules import load_alert_rules
from collector.approvers import Approvers
from collector.spool.segment import quarantined
from collector.tokens import Tokens
from collector.verbs.roles import get, standings
from fusebox.clock import SPEED_ENV, system_clock
from fusebox.command import WINDOW_S
from fusebox.config import Config
from fusebox.errors import FuseboxError
from fusebox.ports import bind
from fusebox.rundir import lookup, url_of
from fusebox.shadow import shadows
from fusebox.store import open_store
from fusebox.tls import advised
from governance.policy.policy import problem_of
from governance.policy.source import open_policy
from governance.registry import load_registry
from rabbitmq.amqp import AmqpBroker
from rabbitmq.management import Management
from rabbitmq.provision import unguarded

_PYTHON: Final = (3, 11)
_PORTS: Final = {
    "http_port": "receive",
    "grpc_port": "receive",
    "control_port": "watch",
    "sql_port": "keep",
    "gateway_port": "gateway",
    "dashboard_port": "dashboard",
    "dashboard_metrics_port": "dashboard",
    "redis_metrics_port": "redis",
}
_SECRETS: Final = (
    "command.key", "agent.token", "operator.token", "principals.json", "operators.json", "approvals.key",
    "approvers.json",
)  # fmt: skip


class Result(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``fix`` says what to do."""

    name: str
    result: Result
    detail: str
    fix: str = ""


def all_checks(config: Config) -> list[Check]:
    """Everything, in the order in which to fix it."""
    first = [*_packages(), _python(), *_folder(config.data_dir)]
    if not _ours(config.data_dir):
        return first  # all that follows looks into it
    return [
        *first, *_put_aside(config.data_dir), *_ports(config), *_roles(config), _broker(config),
        *_permissions(config), _redis(config), _alerts(config), _registry(config), _policy(config),
        *_approvals(config), _clock(config),
    ]  # fmt: skip


def _packages() -> Iterator[Check]:
    """The current folder comes first on the path of every script that is run in it."""
    hidden = shadows([os.getcwd(), *sys.path])
    for name, file in hidden.items():
        yield Check("packages", Result.FAIL, f"{file} hides Fusebox's package {name}", "rename it, or run elsewhere")
    if not hidden:
        yield Check("packages", Result.OK, "every root package is ours")


def _python() -> Check:
    text = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _PYTHON:
        return Check("python", Result.OK, text)
    return Check("python", Result.FAIL, text, "use Python 3.11 or newer")


def _folder(folder: Path) -> Iterator[Check]:
    if not folder.exists():
        yield Check("data folder", Result.NOTE, f"{folder} does not exist yet; 'fusebox up' makes it")
        return
    if not _ours(folder):
        fix = "run as its owner, or choose another (FUSEBOX_DATA_DIR)"
        yield Check("data folder", Result.FAIL, f"{folder} is no folder that this user may read and write", fix)
        return
    open_to_others = [path for path in (folder, *(folder / name for name in _SECRETS)) if _others_may(path)]
    for path in open_to_others:
        fix = f"chmod {'700' if path.is_dir() else '600'} {path}"
        yield Check("data folder", Result.FAIL, f"{path} can be read by others", fix)
    if not open_to_others:
        yield Check("data folder", Result.OK, f"{folder} is private and writable")


def _ours(folder: Path) -> bool:
    """True when this user may work in it, or make it."""
    return not folder.exists() or (folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK))


def _put_aside(folder: Path) -> Iterator[Check]:
    """What waits for a person to look at it."""
    damaged = quarantined(folder / "spool")
    if damaged:
        detail = f"{len(damaged)} damaged segments of the spool are kept in {damaged[0].parent}"
        yield Check("spool", Result.FAIL, detail, "look at the disk they were on, then delete them")
    elif (folder / "spool").exists():
        yield Check("spool", Result.OK, "nothing in quarantine")


def _others_may(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _ports(config: Config) -> Iterator[Check]:
    for setting, role in _PORTS.items():
        if role == "gateway" and not config.gateway_file.exists():  # then nobody starts one
            continue
        port = getattr(config, setting)
        if lookup(config.data_dir, role):
            yield Check("port", Result.OK, f"{setting} {port} belongs to {role}")
            continue
        try:
            bind(config.host, port, setting).close()
            yield Check("port", Result.OK, f"{setting} {port} is free")
        except FuseboxError as error:
            yield Check("port", Result.FAIL, str(error), f"stop the other program or set FUSEBOX_{setting.upper()}")


def _roles(config: Config) -> Iterator[Check]:
    for standing in standings(config):
        if standing.state == "up":
            yield Check("role", Result.OK, f"{standing.role} at {standing.url}")
        elif standing.state == "failing":
            yield Check("role", Result.FAIL, f"{standing.role}: {standing.detail}", f"see {standing.role}.log")
        else:
            yield Check("role", Result.NOTE, f"{standing.role} does not run", standing.detail)


def _broker(config: Config) -> Check:
    url = config.secret("amqp_url")
    if url is None:
        return Check("broker", Result.NOTE, "FUSEBOX_AMQP_URL is not set: the in-process broker serves one process")
    broker = AmqpBroker(url, client_name="fusebox-doctor")
    try:
        broker.start()
    except FuseboxError as error:
        return Check("broker", Result.FAIL, str(error), "start RabbitMQ, or correct FUSEBOX_AMQP_URL")
    finally:
        broker.stop(2.0)
    return Check("broker", Result.OK, "RabbitMQ answers")


def _permissions(config: Config) -> Iterator[Check]:
    """RabbitMQ lets a user without a topic permission publish every key."""
    url = config.secret("management_url")
    if url is None:
        return
    try:
        management = Management(url)
        users = sorted(set(unguarded(management.permissions(), management.topic_permissions())))
    except FuseboxError as error:
        yield Check("permissions", Result.FAIL, str(error), "start the plugin, or correct FUSEBOX_MANAGEMENT_URL")
        return
    for user in users:
        yield Check("permissions", Result.FAIL, f"{user} may publish any key", "fusebox rabbitmq provision")
    if not users:
        yield Check("permissions", Result.OK, "every agent user has its topic permissions")


def _redis(config: Config) -> Check:
    url = config.secret("redis_url")
    if url is None:
        return Check("redis", Result.NOTE, "FUSEBOX_REDIS_URL is not set: 'fusebox up' brings its own")
    try:
        with closing(open_store(url)) as store:
            store.ping()
    except FuseboxError as error:
        return Check("redis", Result.FAIL, str(error), "start Redis, or correct FUSEBOX_REDIS_URL")
    return Check("redis", Result.OK, "Redis answers")


def _alerts(config: Config) -> Check:
    try:
        sinks = Workshop(config, load_alert_rules(config.alerts_file), system_clock(), "").sinks()
    except FuseboxError as error:
        return Check("alerts", Result.FAIL, str(error), "correct it, or watch does not start")
    names = ", ".join(sink.name for sink, _ in sinks)
    return Check("alerts", Result.OK, f"sinks: {names}; 'fusebox alerts test' tries them")


def _registry(config: Config) -> Check:
    """A file that was named and is not there would leave everybody without risk, budget and grants, and nobody told."""
    file = config.agents_file
    try:
        agents = load_registry(file).agents
    except FuseboxError as error:
        return Check("registry", Result.FAIL, str(error), "correct it, or watch and agents do not start")
    if file.exists():
        return Check("registry", Result.OK, f"{len(agents)} agents in {file}")
    nobody = f"{file} does not exist: nobody is registered"
    if "agents_file" in config.model_fields_set:
        return Check("registry", Result.FAIL, nobody, "write it, or correct FUSEBOX_AGENTS_FILE")
    return Check("registry", Result.NOTE, nobody)


def _policy(config: Config) -> Check:
    if config.policy is None:
        return Check("policy", Result.NOTE, "FUSEBOX_POLICY is not set: what agents may do is up to their credentials")
    try:
        policy = open_policy(config, load_registry(config.agents_file), system_clock())
    except FuseboxError as error:
        return Check("policy", Result.FAIL, str(error), "correct it, or agents do not start")
    problem = problem_of(policy) if policy is not None else ""
    if problem:
        return Check("policy", Result.FAIL, problem, "correct it: until then everything is denied, or an old one rules")
    return Check("policy", Result.OK, f"{config.policy} rules; 'fusebox policy explain AGENT' says what it grants")


def _approvals(config: Config) -> Iterator[Check]:
    """Who is asked must be able to answer; where *watch*'s data folder is another machine's, nobody can say."""
    people = Tokens(config.data_dir / "operators.json"), Approvers(config.data_dir)
    try:
        agents = load_registry(config.agents_file).agents
    except FuseboxError:
        return  # the registry's own check tells
    try:
        known = {name for each in people for name in each.names()}
    except FuseboxError as error:
        yield Check("approvals", Result.FAIL, str(error), "correct it")
        return
    for agent, entry in agents.items() if known else ():
        if absent := [name for name in entry.approvals.by if name not in known]:
            detail = f"{agent} asks {', '.join(absent)}, who has neither a token nor a key"
            fix = f"correct {config.agents_file}, or 'fusebox operators add NAME'"
            yield Check("approvals", Result.FAIL, detail, fix)


def _clock(config: Config) -> Check:
    """Commands are obeyed within a window: this machine and watch's must agree."""
    if SPEED_ENV in os.environ:
        return Check("clock", Result.NOTE, f"{SPEED_ENV} is set: windows pass faster than in reality")
    url = url_of(config, "watch", "control_url")
    try:
        date = get(url, "/healthz")[2] if url else ""
        apart = abs(parsedate_to_datetime(date).timestamp() - time.time()) if date else 0.0
    except (OSError, ValueError) as error:
        return Check("clock", Result.NOTE, advised(f"cannot be compared with watch's: {error}"))
    if apart > WINDOW_S / 2:
        return Check("clock", Result.FAIL, f"{apart:.0f} s away from watch's", "run NTP on both machines")
    return Check("clock", Result.OK, "agrees with watch's" if date else "not compared: watch does not run")
