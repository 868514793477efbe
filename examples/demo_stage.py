"""The stage: everything the demonstration runs on, started in order and taken down in the reverse.

::

    outside   model provider · ticket service · inventory · pager
    Fusebox   receive · keep · watch · gateway · dashboard      (child processes, as under ``fusebox up``)
    broker    in this process, or RabbitMQ
    agents    in this process, or a process each
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

from examples.crew import NAMES, Crew, LocalCrew, ProcessCrew, World, role
from examples.demo_settings import Options, Settings, data_folder, registry_file, settings
from examples.model_server import ModelServer, by_model
from examples.pace import Pace
from examples.pager import Pager
from examples.rogue_tickets import texts
from examples.rogue_tickets.service import TicketService
from examples.rogue_tickets.tickets import Tickets
from examples.supply_chain import agents as supply
from examples.supply_chain.database import place
from examples.supply_chain.inventory import Inventory
from examples.web import call
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import FuseboxError
from fusebox.lifecycle import Service
from fusebox.names import held_queue
from fusebox.rundir import lookup
from fusebox.supervisor import Supervisor
from gateway.keys import ANY, FILE, Keys
from rabbitmq.node import PrivateNode

T = TypeVar("T")
_SERVED: Final = """
[providers.openai]
kind = "openai"
url = "{url}/v1"
[models.gpt-5-mini]
provider = "openai"
[models.gpt-5]
provider = "openai"
[models.gpt-5-nano]
provider = "openai"
"""
BOUND: Final = 120
"""Comments after which an unprotected loop is ended."""
_ROLES: Final = ("receive", "keep", "watch", "gateway", "dashboard")
_POLL_S: Final = 0.05
Say = Callable[[str], None]


class TooSlow(FuseboxError):
    """Something the demonstration waits for did not happen in time."""


class Stage:
    """What the acts play on."""

    def __init__(self, options: Options, settings: Settings, outside: Outside, crew: Crew) -> None:
        self.options = options
        self.settings = settings
        self._broker = crew.broker
        self.pace, self.pager, self.inventory = outside.pace, outside.pager, outside.inventory
        self.tickets: Tickets = outside.service.tickets
        self.control = ControlClient.local(self.config)

    @property
    def config(self) -> Config:
        """The settings of this installation."""
        return self.settings.config

    def url(self, name: str) -> str | None:
        """The address a role or an agent's bridge has announced."""
        info = lookup(self.config.data_dir, name)
        return None if info is None else str(info["url"])

    def waiting(self, agent: str) -> int:
        """Messages that wait for a stopped agent: held ones, and those its paused consumer has not taken."""
        return self._broker.depth(held_queue(agent)) + self._broker.depth(agent)

    def deliver(self, agent: str, body: dict[str, object]) -> None:
        """Post a webhook to the bridge of ``agent``."""
        call("POST", f"{self.url(role(agent))}/", body)


class Outside:
    """The world the agents act on; it knows nothing of Fusebox."""

    def __init__(self, seed: int, inventory: str) -> None:
        clock = SystemClock()
        self.pace = Pace(seed, clock)
        self.pager = Pager(clock)
        script = by_model({**texts.SCRIPTS, **supply.SCRIPTS})
        self.models = ModelServer(script, seed=seed, think=self.pace.pause)
        self.service = TicketService(pause=self.pace.pause, bound=BOUND, first=1000 + seed * 37 % 8000)
        self.address = inventory
        self.inventory = Inventory(inventory)

    def world(self, config: Config) -> World:
        """Where the agents find it: the models behind the gateway, each agent with a key of its own."""
        gateway = lookup(config.data_dir, "gateway") or {}
        virtual = Keys(config.data_dir / FILE, config.tenant)
        keys = {name: virtual.add(name, team="", models=(ANY,), tools=())[1] for name in NAMES}
        return World(str(gateway["url"]), keys, self.service.url, self.address)


@contextmanager
def stage(options: Options, amqp_url: str | None, private_node: bool, say: Say) -> Iterator[Stage]:
    """Everything, running.

    Args:
        options: the command line.
        amqp_url: a RabbitMQ to use; None for a private node or the broker in this process.
        private_node: start a RabbitMQ node of our own.
        say: told what is being started.

    Raises:
        FuseboxError: a part did not start; the others are stopped.
    """
    with ExitStack() as running:
        folder = running.enter_context(data_folder(options))
        inventory = running.enter_context(place(options.inventory_url, folder / "inventory.db"))
        outside = Outside(options.seed, inventory)
        outside.inventory.create()
        for service in (outside.pager, outside.models, outside.service):
            _run(running, service)
        if private_node:
            say("RabbitMQ, a private node on a free port")
            node = PrivateNode(folder / "rabbitmq")
            _run(running, node)
            amqp_url = node.url
        chosen = settings(folder, running.enter_context(registry_file()), outside.pager, amqp_url, policy="default")
        chosen.config.gateway_file.write_text(_SERVED.format(url=outside.models.url))
        roles = _ROLES[: None if options.dashboard else -1]
        say(f"the collector: {', '.join(roles)}")
        _run(running, Supervisor(chosen.config, roles, chosen.environment))
        say("the agents, each in a process of its own" if amqp_url else "the agents, on the in-process broker")
        crew = _crew(chosen, outside.world(chosen.config))
        _run(running, crew)
        running.callback(outside.service.unsubscribe_all)  # first of all: nobody is told what nobody can hear
        yield Stage(options, chosen, outside, crew)


def until(probe: Callable[[], T | None], what: str, timeout: float = 20.0) -> T:
    """Ask ``probe`` until it gives something true.

    Raises:
        TooSlow: ``timeout`` seconds were not enough; the text is ``what``.
    """
    found = patiently(probe, timeout)
    if not found:
        raise TooSlow(f"not within {timeout:.0f} s: {what}")
    return found


def patiently(probe: Callable[[], T | None], timeout: float) -> T | None:
    """Ask ``probe`` until it gives something true or ``timeout`` seconds are over; its last word."""
    deadline = time.monotonic() + timeout
    while not (found := probe()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return found


def _crew(chosen: Settings, world: World) -> Crew:
    if chosen.config.amqp_url:
        return ProcessCrew(chosen.config, chosen.environment, world)
    return LocalCrew(chosen.config, world)


def _run(running: ExitStack, service: Service | Crew | PrivateNode | Supervisor) -> None:
    running.callback(service.stop)
    service.start()
