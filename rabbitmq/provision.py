"""What an agent's AMQP user may do, as data: least privilege, worked out from what an Agent does on the broker.

::

    configure  ^$                              everything is declared by the deployer, the agent only checks that it is
    write      fusebox.events                  its own publishes;  keys limited to what it ``publishes``
               fusebox.own                     what it holds and buries;  keys: its held, approvals and dead queues
               fusebox.retry.<delay>           what it tries again;  key: its own work queue
               fusebox.uplink                  reports to watch, which checks a token
    read       <agent>, .held, .approvals      its work, what it held, and what people are asked about
               fusebox.control.agent-<agent>   Commands; a queue of its user, as it may not declare one

Never the default exchange: who may write to ``amq.default`` reaches every queue by its name. Never ``configure``, not
even for a queue of its own: an exchange one may declare, bound to ``fusebox.events``, has no topic permission.
RabbitMQ allows *every* key on a topic exchange for which a user has no topic permission at all, so each of the topic
exchanges above has one. An agent does not read its dead letters; people do.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fusebox.errors import ConfigError
from fusebox.names import EXCHANGE_EVENTS, EXCHANGE_OWN, EXCHANGE_UPLINK, approvals_queue, dead_queue, held_queue
from fusebox.registry import AGENT_ID
from fusebox.rundir import write_atomic
from rabbitmq.broker import Topology
from rabbitmq.identity import agent_user, is_agent_user
from rabbitmq.retry import DELAYS_S, retry_exchange, retry_topology
from rabbitmq.topology import agent_topology, control_queue, user_control_topology

NOTHING: Final = "^$"
TOPIC_EXCHANGES: Final = (EXCHANGE_EVENTS, EXCHANGE_OWN, *(retry_exchange(delay) for delay in DELAYS_S))
"""Topic exchanges an agent may write to: each needs a topic permission."""
_TAKEN: Final = re.compile(r"(fusebox|amq)\..*|.*\.(held|approvals|dead)")


@dataclass(frozen=True, slots=True)
class Role:
    """One agent as the bus sees it: routing keys (or topic patterns) it handles, and those it publishes.

    Raises:
        ConfigError: the id is none, or names a queue that belongs to somebody else.
    """

    agent: str
    handles: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not AGENT_ID.fullmatch(self.agent):
            raise ConfigError(f"agent id {self.agent!r} must match {AGENT_ID.pattern}")
        if _TAKEN.fullmatch(self.agent):
            raise ConfigError(f"agent id {self.agent!r} would share queues with Fusebox or another agent; rename it")


@dataclass(frozen=True, slots=True)
class Grant:
    """The permissions of one user; regular expressions as RabbitMQ takes them."""

    user: str
    write: str
    read: str
    topics: Mapping[str, str]
    """Topic exchange → keys that may be written to it."""
    configure: str = NOTHING


def grant_of(role: Role) -> Grant:
    """What the agent's user may do."""
    agent, retries = role.agent, [retry_exchange(delay) for delay in DELAYS_S]
    own = _any(map(re.escape, (held_queue(agent), approvals_queue(agent), dead_queue(agent))))
    topics = {
        EXCHANGE_EVENTS: _any(map(key_regex, role.publishes)),
        EXCHANGE_OWN: own,
        **dict.fromkeys(retries, _any([re.escape(agent)])),
    }
    write = _any(map(re.escape, (EXCHANGE_EVENTS, EXCHANGE_OWN, EXCHANGE_UPLINK, *retries)))
    read = (agent, held_queue(agent), approvals_queue(agent), control_queue(agent_user(agent)))
    return Grant(agent_user(agent), write, _any(map(re.escape, read)), topics)


def topology_of(role: Role) -> Topology:
    """Everything the agent finds on the broker, for a deployer to declare."""
    control = user_control_topology(agent_user(role.agent))
    return agent_topology(role.agent, role.handles) + retry_topology() + control


def key_regex(pattern: str) -> str:
    """The regular expression of a topic pattern (``*`` one word, ``#`` any number of words)."""
    text, begun, previous = "", False, ""
    for word in pattern.split("."):
        if word == "#":
            rest = r"(?:\.[^.]*)*" if begun else r"(?:[^.]*\.)*"
            text += "" if previous == "#" else rest
        else:
            text += (r"\." if begun else "") + ("[^.]*" if word == "*" else re.escape(word))
            begun = True
        previous = word
    return text if begun else ".*"


def _any(alternatives: Iterable[str]) -> str:
    found = "|".join(alternatives)
    return f"^(?:{found})$" if found else NOTHING


def unguarded(permissions: Iterable[Mapping[str, Any]], topics: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Agent users with a topic exchange on which they may publish any key.

    Args:
        permissions: what ``/api/permissions`` answers.
        topics: what ``/api/topic-permissions`` answers.
    """
    limited = {(each["user"], each["vhost"], each["exchange"]) for each in topics}
    for each in permissions:
        user, vhost = str(each["user"]), each["vhost"]
        writable = [name for name in TOPIC_EXCHANGES if is_agent_user(user) and _matches(str(each["write"]), name)]
        if any((user, vhost, name) not in limited for name in writable):
            yield user


def _matches(pattern: str, name: str) -> bool:
    """As RabbitMQ would; of a pattern that only its own engine can read, the worst is assumed."""
    try:
        return pattern != "" and re.search(pattern, name) is not None
    except re.error:
        return True


def password_file(folder: Path, user: str) -> Path:
    """The file (0600) with the user's password: the one from last time, or a new one; the text is printed nowhere."""
    path = folder / f"{user}.password"
    if not path.exists():
        write_atomic(path, secrets.token_urlsafe(32))
    return path
