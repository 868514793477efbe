"""Identity: which AMQP user an agent is, and whether a message comes from whom it says.

Each agent process has a user of its own, ``agent-<id>``. RabbitMQ lets a publisher put only its own user into a
message's ``user_id``, so what stands there is the broker's word; headers are merely the sender's.

RabbitMQ 3.10 holds the routing key of a publish against the topic permissions, but not the further keys in its ``CC``
and ``BCC`` headers. A consumer is told the permitted key all the same, and so finds no handler for such a message,
unless our own header may say that it had another key before: of another agent that is not believed.
"""

from __future__ import annotations

from typing import Final

from fusebox import names
from fusebox.errors import BadMessage
from fusebox.records import Lineage
from rabbitmq.broker import Message

PREFIX: Final = "agent-"


def agent_user(agent: str) -> str:
    """The AMQP user of an agent."""
    return f"{PREFIX}{agent}"


def agent_of(user: str) -> str:
    """The agent of an AMQP user; empty for the user of a person or another program."""
    return user.removeprefix(PREFIX) if is_agent_user(user) else ""


def is_agent_user(user: str) -> bool:
    """True for the user of an agent, as opposed to one of a person or another program."""
    return user.startswith(PREFIX)


def agent_of_user(user: str) -> str:
    """The agent whose AMQP user this is; empty for any other user."""
    return user.removeprefix(PREFIX) if is_agent_user(user) else ""


def check_sender(message: Message, lineage: Lineage, agent: str) -> None:
    """Accept a message that reached ``agent`` only if the broker vouches for its sender.

    Our own user stands in what we held or retried ourselves: it was checked before. Users that are not agents' belong
    to whoever deploys; they may send anything, also what an agent sent first (a replay).

    Raises:
        BadMessage: nobody vouches for it, an agent claims to be another, or to have published under another key.
    """
    user = message.user_id
    if not user:
        raise BadMessage("no user_id, and require_sender is set; have its publisher connect as a user and name it")
    if user == agent_user(agent) or not is_agent_user(user):
        return
    if names.H_ORIGIN_KEY in message.headers or names.H_PARKED in message.headers:
        raise BadMessage(f"user {user!r} names a routing key in a header; only its own agent moves a message")
    for claimed in _claims(message, lineage):
        if user != agent_user(claimed):
            raise BadMessage(f"user {user!r} says it is agent {claimed!r}")


def _claims(message: Message, lineage: Lineage) -> set[str]:
    """Every agent the message says it comes from."""
    named = {str(message.headers[names.H_AGENT])} if names.H_AGENT in message.headers else set()
    return named | {hop.agent for hop in lineage[-1:]}
