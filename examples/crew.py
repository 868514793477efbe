"""The demonstration's agents: all in this process, or each in a process of its own over a real broker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from examples.bridge import Bridge
from examples.chat import openai_chat
from examples.rogue_tickets import agents as rogue
from examples.rogue_tickets.service import TicketClient
from examples.supply_chain import agents as supply
from examples.supply_chain.inventory import Inventory
from fusebox.config import Config
from fusebox.errors import FuseboxError
from fusebox.lifecycle import Stack
from fusebox.names import approvals_queue, held_queue
from fusebox.rundir import announce, lookup, withdraw
from rabbitmq import Agent, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Broker

NAMES: Final = (supply.EXECUTOR, supply.ANALYST, supply.LISTENER, rogue.HELPER, rogue.BOT)
"""Sinks first: who is published to listens before who publishes."""

_KEYS: Final[Mapping[str, Mapping[str, str]]] = {
    supply.LISTENER: supply.LISTENER_KEYS,
    rogue.HELPER: rogue.HELPER_KEYS,
    rogue.BOT: rogue.BOT_KEYS,
}
KEY: Final = "OPENAI_API_KEY"
"""The variable in which the process of an agent finds its virtual key."""
INVENTORY: Final = "INVENTORY_URL"
"""The variable in which it finds the inventory's address, which may hold a password."""
_READY_S: Final = 40.0
_POLL_S: Final = 0.05


class WorkerFailed(FuseboxError):
    """The process of an agent ended before it was ready; the text carries what it printed."""


@dataclass(frozen=True, slots=True)
class World:
    """What the agents work on, outside the bus."""

    models: str
    """Address at which agents reach their models: the gateway's."""
    keys: Mapping[str, str]
    """Each agent's virtual key."""
    tickets: str
    """Address of the ticket service."""
    inventory: str
    """Address of the inventory's database."""


class Crew(Protocol):
    """All agents of the demonstration."""

    broker: Broker
    """What carries their messages."""

    def start(self) -> None: ...

    def stop(self, timeout: float = 10.0) -> None: ...


class Member:
    """One agent with the bridge through which the outside world reaches it."""

    def __init__(self, name: str, runtime: Runtime, world: World) -> None:
        self._name = name
        self._world = world
        self._folder = runtime.config.data_dir
        self._agent = build(name, runtime, world)
        self._bridge = Bridge(runtime.broker, _KEYS.get(name, {}))

    def start(self) -> None:
        self._agent.start()
        self._bridge.start()
        if self._name in (rogue.HELPER, rogue.BOT):
            for notice in _KEYS[self._name]:
                TicketClient(self._world.tickets).subscribe(notice, self._bridge.url)
        announce(self._folder, role(self._name), url=self._bridge.url)

    def stop(self, timeout: float = 10.0) -> None:
        withdraw(self._folder, role(self._name))
        self._bridge.stop(timeout)
        self._agent.stop(timeout)


def build(name: str, runtime: Runtime, world: World) -> Agent:
    """The agent called ``name``."""
    inventory = Inventory(world.inventory)
    match name:
        case supply.LISTENER:
            return supply.listener(runtime)
        case supply.ANALYST:
            return supply.analyst(runtime, inventory, openai_chat(world.models, world.keys[name]))
        case supply.EXECUTOR:
            return supply.executor(runtime, inventory)
        case rogue.HELPER:
            return rogue.ticket_helper(
                runtime, TicketClient(world.tickets), openai_chat(world.models, world.keys[name])
            )
        case rogue.BOT:
            return rogue.label_bot(runtime, TicketClient(world.tickets), openai_chat(world.models, world.keys[name]))
    raise WorkerFailed(f"the demonstration has no agent {name!r}; there are {', '.join(NAMES)}")


class LocalCrew:
    """All agents in this process, on one runtime with the in-process broker."""

    def __init__(self, config: Config, world: World) -> None:
        self._runtime = Runtime.from_config(config, name="fusebox-demo")
        self.broker = self._runtime.broker
        self._members = Stack(Member(name, self._runtime, world) for name in NAMES)

    def start(self) -> None:
        self._runtime.start()
        self._members.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._members.stop(timeout)
        self._runtime.stop(timeout)


class ProcessCrew:
    """Each agent in a process of its own (:mod:`examples.worker`).

    Args:
        config: where they announce themselves, and their broker.
        environment: Fusebox's settings for them.
    """

    def __init__(self, config: Config, environment: Mapping[str, str], world: World) -> None:
        self.broker: Broker = AmqpBroker(config.secret("amqp_url") or "", client_name="fusebox-demo")
        self._folder = config.data_dir
        self._environment = {**os.environ, **environment}
        self._world = world
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all and wait until each is ready.

        Raises:
            WorkerFailed: one of them is not; the others are stopped.
        """
        try:
            self.broker.start()
            self._sweep()
            self._workers = {name: self._spawn(name) for name in NAMES}
            for name in NAMES:
                self._await_ready(name)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        for worker in self._workers.values():
            worker.terminate()
        for worker in self._workers.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(timeout)
            worker.kill()
            worker.wait()
        self._workers.clear()
        self.broker.stop(timeout)

    def _sweep(self) -> None:
        """Drop what an earlier demonstration on the same broker left unfinished: its tickets are gone."""
        for name in NAMES:
            self.broker.purge(name)
            self.broker.purge(held_queue(name))
            self.broker.purge(approvals_queue(name))

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        world = self._world
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "examples.worker", name, world.models, world.tickets],
                env={**self._environment, KEY: world.keys.get(name, ""), INVENTORY: world.inventory},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                process_group=0,  # Ctrl-C is for the demonstration, which stops them in order
            )  # fmt: skip

    def _await_ready(self, name: str) -> None:
        deadline = time.monotonic() + _READY_S
        while lookup(self._folder, role(name)) is None:
            if self._workers[name].poll() is not None or time.monotonic() > deadline:
                raise WorkerFailed(f"{name} did not get ready: {self._last_words(name)}")
            time.sleep(_POLL_S)

    def _last_words(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def _log(self, name: str) -> Path:
        return self._folder / f"{role(name)}.log"


def role(name: str) -> str:
    """Under which name an agent announces its bridge in the data folder."""
    return f"agent-{name}"
