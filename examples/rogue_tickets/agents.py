"""The two agents of the incident, each sensible on its own.

``ticket-helper`` comments on tickets that wait for an answer. ``label-bot`` reads each new comment and says whether the
ticket waits for an answer. When the helper's comment ends with a question, the bot says yes, and round it goes.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from examples.chat import Chat, ask
from examples.rogue_tickets.texts import ANSWERED, HELPER_MODEL, LABEL_MODEL
from examples.rogue_tickets.tickets import COMMENTED, LABELLED, Json, TicketApi
from rabbitmq import Agent, Context, Runtime

HELPER: Final = "ticket-helper"
BOT: Final = "label-bot"
HELPER_KEYS: Final = {LABELLED: "ticket.labelled"}
BOT_KEYS: Final = {COMMENTED: "ticket.commented"}
"""Which webhook becomes which message."""

_HELP: Final = "You are a friendly support agent. Write one short, helpful comment on the customer's ticket."
_JUDGE: Final = "Read a support comment and answer with one label: answered, or why the ticket still waits."
_RECENT: Final = 2


class Labelled(BaseModel):
    """A ticket got a label."""

    ticket: str
    label: str


class Commented(BaseModel):
    """A ticket got a comment."""

    ticket: str
    author: str
    text: str


def ticket_helper(runtime: Runtime, tickets: TicketApi, chat: Chat) -> Agent:
    """The agent that comments."""
    agent = Agent(HELPER, runtime)

    @agent.on(HELPER_KEYS[LABELLED])
    def help_customer(event: Labelled, ctx: Context) -> None:
        if event.label == ANSWERED:
            return
        ticket = ctx.tool("tickets.read", tickets.read, event.ticket, target=event.ticket)
        text = ask(ctx, chat, HELPER_MODEL, _HELP, prompt(ticket))
        ctx.tool("tickets.comment", tickets.comment, event.ticket, HELPER, text, target=event.ticket)

    return agent


def label_bot(runtime: Runtime, tickets: TicketApi, chat: Chat) -> Agent:
    """The automation that labels."""
    agent = Agent(BOT, runtime)

    @agent.on(BOT_KEYS[COMMENTED])
    def label(event: Commented, ctx: Context) -> None:
        verdict = ask(ctx, chat, LABEL_MODEL, _JUDGE, event.text)
        ctx.tool("tickets.label", tickets.label, event.ticket, BOT, verdict, target=event.ticket)

    return agent


def prompt(ticket: Json) -> str:
    """What the helper's model is told of a ticket: its text and the latest comments."""
    recent = "\n".join(f"{c['author']}: {c['text']}" for c in ticket["comments"][-_RECENT:])
    return f"Ticket {ticket['id']} from {ticket['customer']}: {ticket['title']}\n{ticket['body']}\n\n{recent}".strip()
