"""What the control API of *watch* says and takes.

No state but the newest board: each function asks once and returns values. The address is looked up at every call, so a
*watch* that came back on another port is found without a restart.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final

from collector import queries
from dashboards.shared import SHARED
from dashboards.view import Board
from fusebox.command import ALL, agent_scope
from fusebox.config import Config
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import ControlUnavailable
from fusebox.rundir import dashboard_token, lookup, url_of

TIMEOUT_S: Final = 3.0
START: Final = "fusebox up"
ROLES: Final = ("receive", "keep", "watch")


@dataclass(frozen=True, slots=True)
class Order:
    """Something a person ordered, and the processes that have confirmed it so far."""

    title: str
    agent: str
    """Empty when the order is for every agent."""
    command: str
    expected: tuple[str, ...]
    received: Mapping[str, float] = field(default_factory=dict)
    forgotten: bool = False
    """*watch* has started anew since, and counts who confirmed it no longer."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Processes that have not confirmed."""
        return tuple(process for process in self.expected if process not in self.received)


def board(config: Config, token: str) -> tuple[Board, str]:
    """The board of this second, and the name under which *watch* knows whose token it is.

    Raises:
        ControlUnavailable: *watch* does not answer.
        ControlRefused: the token is not an operator's.
    """
    return SHARED.read(_control(config, token))


def database_token(config: Config) -> str | None:
    """The token for what is shown of the database; None: whatever anybody on this machine shows it."""
    return None if config.oidc_file is None or config.sql_url else dashboard_token(config.data_dir)


def kill(config: Config, token: str, agent: str, reason: str) -> Order:
    """Kill ``agent`` (empty: every agent). Raises like :func:`board`."""
    answer = _control(config, token).kill(_scope(agent), reason)
    return _order("Kill", agent, answer)


def resume(config: Config, token: str, agent: str, reason: str, second: str = "") -> Order:
    """Resume ``agent`` (empty: every agent). Raises like :func:`board`.

    Args:
        second: the token of an operator who agrees, for what is high-risk.
    """
    answer = _control(config, token).resume(_scope(agent), reason, second_token=second or None)
    return _order("Resume", agent, answer)


def mode(config: Config, token: str, agent: str, mode: str, reason: str) -> Order:
    """Put ``agent`` into ``mode``. Raises like :func:`board`."""
    answer = _control(config, token).mode(agent, mode, reason)
    return _order("Change of mode", agent, answer)


def receipts(config: Config, token: str, order: Order) -> Order:
    """``order`` with the Receipts that have arrived. Raises like :func:`board`."""
    try:
        answer = _control(config, token).receipts(order.command)
    except ControlRefused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return replace(order, forgotten=True)
    return Order(order.title, order.agent, order.command, tuple(answer["expected"]), dict(answer["received"]))


def approvals(config: Config, token: str) -> list[dict[str, Any]]:
    """What waits for a person, first, and what became of what did; without arguments. Raises like :func:`board`."""
    return list(_control(config, token).approvals()["approvals"])


def approval(config: Config, token: str, id: str) -> dict[str, Any]:
    """One of them, with its exact arguments. Raises like :func:`board`."""
    return _control(config, token).approval(id)


def answer(config: Config, token: str, id: str, digest: str, approve: bool, reason: str) -> None:
    """Give a person's word on what has this digest. Raises like :func:`board`."""
    _control(config, token).answer(id, digest, approve, reason)


def roles(config: Config) -> list[dict[str, Any]]:
    """Each role and what it says of itself; empty ``trouble`` when it is well."""
    return [{"role": role, "trouble": _trouble(config, role)} for role in ROLES]


def _trouble(config: Config, role: str) -> str:
    info = lookup(config.data_dir, role)
    if info is None:
        return "it does not run on this machine"
    try:
        with urllib.request.urlopen(f"{info['url']}/healthz", timeout=TIMEOUT_S):  # noqa: S310 - http, announced by us
            return ""
    except urllib.error.HTTPError as error:
        return error.read(300).decode("utf-8", "replace").strip()
    except OSError as error:
        return f"it does not answer: {error}"


def figures(config: Config, role: str) -> dict[str, float]:
    """What ``/metrics`` of a role shows, summed over labels, by name; empty while it does not answer."""
    info = lookup(config.data_dir, role)
    if info is None:
        return {}
    try:
        with urllib.request.urlopen(f"{info['url']}/metrics", timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    found: defaultdict[str, float] = defaultdict(float)
    for line in lines:
        if not line.startswith("#"):
            found[line.partition(" ")[0].partition("{")[0]] += float(line.rpartition(" ")[2] or 0)
    return dict(found)


def select(config: Config, token: str, statement: str, limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` rows of a person's own statement, asked in that person's name.

    Raises:
        KeepUnavailable: *keep* does not answer, or refuses; its words say why.
    """
    return queries.select(config, token, statement, limit)


def _control(config: Config, token: str) -> ControlClient:
    url = url_of(config, "watch", "control_url")
    if url is None:
        raise ControlUnavailable(f"watch is not running; start it with '{START}'")
    return ControlClient(url, token, TIMEOUT_S)


def _scope(agent: str) -> str:
    return agent_scope(agent) if agent else ALL


def _order(title: str, agent: str, answer: Mapping[str, Any]) -> Order:
    return Order(title, agent, answer["command"], tuple(answer["expected"]))
