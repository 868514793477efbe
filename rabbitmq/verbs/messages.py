"""Listing, showing, putting back and discarding: what ``fusebox dlq`` and ``fusebox held`` share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.table import Table

from fusebox import names, terminal
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError
from rabbitmq.amqp import AmqpBroker
from rabbitmq.shelf import LIMIT, Shelf, Shelved, Wanted

_MAX_ERROR = 2_000
_COLUMNS = ("message", "key", "reason", "trace_id", "bytes")


@contextmanager
def open_shelf(config: Config, agent: str, queue: str) -> Iterator[Shelf]:
    """The shelf of one agent on the configured RabbitMQ.

    Raises:
        ConfigError: there is no RabbitMQ: the in-process broker's messages end with its process.
        BrokerUnavailable: it does not answer.
    """
    url = config.secret("amqp_url")
    if not url:
        raise ConfigError(
            "no RabbitMQ is configured; set FUSEBOX_AMQP_URL (in-process messages end with their process)"
        )
    broker = AmqpBroker(url, client_name="fusebox-cli")
    broker.start()
    try:
        shelf = Shelf(broker, agent, queue, broker.user)
        yield shelf
        print_beyond(shelf)
    finally:
        broker.stop()


def add_filters(parser: argparse.ArgumentParser, verb: str) -> None:
    """Arguments that choose messages."""
    parser.add_argument("agent", help="whose messages")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--message", metavar="ID", help=f"{verb} this one")
    chosen.add_argument("--reason", metavar="TEXT", help=f"{verb} those whose reason contains TEXT")
    chosen.add_argument("--like", metavar="FINDING", help=f"{verb} those that were held because of this Finding")
    chosen.add_argument("--all", action="store_true", help=f"{verb} all of them")


def wanted(args: argparse.Namespace) -> Wanted:
    """The filter the arguments describe."""

    def choose(shelved: Shelved) -> bool:
        if args.message:
            return bool(shelved.message.message_id == args.message)
        if args.reason:
            return args.reason in shelved.reason
        return bool(args.all or shelved.finding == args.like)

    return choose


def replay(config: Config, shelf: Shelf, args: argparse.Namespace, queue: str) -> int:
    """Put the chosen messages back, on record; how many. Raises like :func:`_recorded`, and :meth:`Shelf.put_back`."""
    return _recorded(config, shelf, args, "replay", queue, shelf.put_back)


def discard(config: Config, shelf: Shelf, args: argparse.Namespace, queue: str) -> int:
    """Throw the chosen messages away, on record; how many. Raises like :func:`replay`."""
    return _recorded(config, shelf, args, "discard", queue, shelf.discard)


def _recorded(
    config: Config, shelf: Shelf, args: argparse.Namespace, act: str, queue: str, work: Callable[[Wanted], int]
) -> int:
    """
    Raises:
        ControlUnavailable: *watch* could not journal it; nothing was done.
        ControlRefused: this is no operator.
    """
    control = ControlClient.local(config)
    order = control.messages(args.agent, act, queue, _chosen(args))["order"]
    try:
        count = work(wanted(args))
    except Exception as error:
        control.outcome(order, shelf.dealt_with, f"broke off: {error}"[:_MAX_ERROR])
        raise
    control.outcome(order, count)
    return count


def _chosen(args: argparse.Namespace) -> str:
    """The filter in words, for the journal."""
    named = (f"{name} {value}" for name in ("message", "reason", "like") if (value := getattr(args, name)))
    return next(named, "all")[:_MAX_ERROR]


def print_list(shelved: list[Shelved], as_json: bool) -> None:
    """A table for people, or one JSON object a line."""
    if as_json:
        for item in shelved:
            print(json.dumps(item.row()))
        return
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for item in shelved:
        row = item.row()
        table.add_row(*(terminal.plain(str(row[column])) for column in _COLUMNS))
    if shelved:
        terminal.show(table, markup=False)
    else:
        print("nothing there")


def print_behind(shelf: Shelf) -> None:
    """Say beside the list, on standard error, what else waits: the board counts both."""
    if count := shelf.behind():
        print(f"{count} more in the work queue, not taken yet: they follow when the agent works again", file=sys.stderr)


def print_beyond(shelf: Shelf) -> None:
    """Say on standard error how many were not looked at: who asked for all of them must ask again."""
    if shelf.beyond:
        print(f"only the oldest {LIMIT} were looked at; {shelf.beyond} newer ones are there as well", file=sys.stderr)


def print_one(shelved: list[Shelved], message_id: str, as_json: bool) -> int:
    """Everything about one message; 1 when it is not there. The stack, which is a header, comes readable after it."""
    found = next((item for item in shelved if item.message.message_id == message_id), None)
    if found is None:
        print(f"no message {message_id} there", file=sys.stderr)
        return 1
    body = found.message.body.decode("utf-8", "replace")
    stack = found.message.headers.get(names.H_DEAD_STACK, "")
    headers = {**{name: str(table) for name, table in found.message.tables.items()}, **found.message.headers}
    print(json.dumps(found.row() | {"body": body, "headers": headers}, indent=2, default=str))
    if stack and not as_json:
        terminal.console().print(str(stack), markup=False)
    return 0
