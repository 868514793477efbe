"""The stage of the scenes: the whole supply chain on an installation of its own.

::

    outside   carriers' webhooks ─► dock    model provider    warehouse and ERP (credentials: the gateway's only)
    Fusebox   redis · receive · keep · watch · gateway · dashboard (child processes)
    broker    a RabbitMQ node of its own, another RabbitMQ, or in this process
    agents    in this process, on one runtime
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

from collector import queries
from examples.chat import openai_chat
from examples.demo_settings import Options, Settings, data_folder, settings
from examples.model_server import ModelServer
from examples.pager import Pager
from examples.scenes.manager import Manager
from examples.scenes.models import SMALL_MODEL, Models
from examples.supply_chain.agents import ANALYST, ANALYST_MODEL, EXECUTOR, CarrierUpdate
from examples.supply_chain.carriers import FEDEX, MAERSK, post
from examples.supply_chain.database import place
from examples.supply_chain.dock import Dock
from examples.supply_chain.mesh import analyst, executor, listener
from examples.supply_chain.systems import Erp, Warehouse
from examples.through import Through
from examples.web import Json, post_bytes
from fusebox.clock import SystemClock
from fusebox.lifecycle import Service, Stack
from fusebox.rundir import lookup, write_atomic
from fusebox.supervisor import Supervisor
from gateway.keys import ANY, FILE, Keys
from governance.context import Entry
from governance.registry import load_registry
from rabbitmq import Agent, Runtime
from rabbitmq.node import PrivateNode

_ROLES: Final = ("redis", "receive", "keep", "watch", "gateway", "dashboard")
NIGHT_BUDGET: Final = 1_500
"""Tokens that the night batch may use on one day."""
_SERVED: Final = """
[providers.openai]
kind = "openai"
url = "{models}"
{credential}
[models.{analyst}]
provider = "openai"
{named}
[models.{small}]
provider = "openai"
{named}
[tools.warehouse]
url = "{warehouse}"
key_file = "{folder}/warehouse.key"
[tools.erp]
url = "{erp}"
key_file = "{folder}/erp.key"
methods = ["POST"]
[filter]
hosts = [".wheels.example"]
answers = "report"
[masking]
[[limits]]
scope = "agent"
name = "night-batch"
measure = "tokens"
limit = {budget}
budget = "day"
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whose models answer: the scripted ones, or any that speak OpenAI's API.

    Attributes:
        url: base address, with ``/v1``; empty for the scripted ones.
        key_env: variable that holds the credential.
        model: what the provider calls the model that answers for all.
    """

    url: str = ""
    key_env: str = ""
    model: str = ""


class Mesh:
    """What scenes play on."""

    def __init__(self, chosen: Settings, outside: Outside, supervisor: Supervisor, node: PrivateNode | None) -> None:
        self.config, self.supervisor, self.node = chosen.config, supervisor, node
        self.models, self.warehouse, self.erp = outside.models, outside.warehouse, outside.erp
        self.models_url = outside.server.url
        self.manager = Manager(self.config)
        self.runtime = Runtime.from_config(self.config, name="supply-chain")
        self._secrets = {FEDEX: os.urandom(16).hex(), MAERSK: os.urandom(16).hex()}
        self._dock = Dock(self.runtime.broker, self._secrets)
        self._shipments = (f"SCN-{a}{b}" for a in ascii_uppercase for b in ascii_uppercase)
        keys = Keys(self.config.data_dir / FILE, self.config.tenant)
        names = load_registry(self.config.agents_file).agents
        self._keys = {name: keys.add(name, team="", models=(ANY,), tools=(ANY,))[1] for name in names}
        self.agents = self._cast()
        self._stack = Stack([self.runtime, *self.agents.values(), self._dock])

    def start(self) -> None:
        self._stack.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stack.stop(timeout)

    # --- what happens -------------------------------------------------------------------------------------------------
    def delay(self, note: str = "Engine repair, vessel at anchor", carrier: str = "Maersk") -> CarrierUpdate:
        """A shipment of its own that comes late enough to empty a shelf."""
        return CarrierUpdate(
            carrier=carrier, shipment=next(self._shipments), status="delayed", date="2026-03-02",
            eta="2026-03-14", place="Suez", note=note,
        )  # fmt: skip

    def carrier_posts(self, update: CarrierUpdate, *, secret: str = "") -> tuple[int, Json]:
        """The carrier's webhook, as it would arrive at the dock; signed with another ``secret`` when one is given."""
        carrier = update.carrier.lower()
        body, headers = post(carrier, update, secret or self._secrets[carrier])
        return post_bytes(f"{self._dock.url}/{carrier}", body, headers)

    def through(self, agent: str) -> Through:
        """An agent's way through the gateway."""
        return Through(self._gateway, self._keys[agent])

    # --- what came of it ----------------------------------------------------------------------------------------------
    def ordered(self, shipment: str) -> list[Json]:
        """Purchase orders for a shipment."""
        return [order for order in self.erp.orders() if order.get("shipment") == shipment]

    def remembered(self, workflow: str, type: str = "") -> list[Entry]:
        """What the agents of a workflow remember."""
        return list(self.runtime.contexts.read(workflow).recall(type=type))

    def query(self, name: str, **parameters: Any) -> list[Json]:
        """Rows of a named query.

        Raises:
            KeepUnavailable: *keep* does not run just now.
        """
        with closing(queries.connect(self.config)) as client:
            return queries.run(client, name, **parameters)

    def refusals(self, agent: str, guard: str) -> list[Json]:
        """What a guard has denied an agent, as the audit log has it."""
        rows = self.query("ask_refusals", agent=agent)
        return [row for row in rows if (row["guard"], row["kind"]) == (guard, "denial")]

    @property
    def _gateway(self) -> str:
        return str((lookup(self.config.data_dir, "gateway") or {})["url"])

    def _cast(self) -> dict[str, Agent]:
        """The agents, sinks first: who is published to listens before who publishes."""
        cast = (
            executor(self.runtime, self.through(EXECUTOR)),
            analyst(self.runtime, self.through(ANALYST), openai_chat(self._gateway, self._keys[ANALYST])),
            listener(self.runtime),
        )
        return {agent.name: agent for agent in cast}


class Outside:
    """The world the agents act on; it knows nothing of Fusebox."""

    def __init__(self, folder: Path, warehouse: str, erp: str) -> None:
        self.models = Models()
        self.server = ModelServer(self.models)
        self.warehouse, self.erp = Warehouse(warehouse), Erp(erp)
        for system, name in ((self.warehouse, "warehouse"), (self.erp, "erp")):
            write_atomic(folder / f"{name}.key", system.credential)

    def served(self, folder: Path, endpoint: Endpoint) -> str:
        """The gateway's settings."""
        return _SERVED.format(
            models=endpoint.url or f"{self.server.url}/v1", analyst=ANALYST_MODEL, small=SMALL_MODEL, folder=folder,
            credential=f'key_env = "{endpoint.key_env}"' if endpoint.key_env else "",
            named=f'name = "{endpoint.model}"' if endpoint.model else "",
            warehouse=self.warehouse.url, erp=self.erp.url, budget=NIGHT_BUDGET,
        )  # fmt: skip


@contextmanager
def mesh(
    options: Options, amqp_url: str | None, private_node: bool, endpoint: Endpoint, say: Callable[[str], None]
) -> Iterator[Mesh]:
    """Everything, running.

    Raises:
        FuseboxError: a part did not start; the others are stopped.
    """
    with ExitStack() as running:
        folder = running.enter_context(data_folder(options))
        registry = running.enter_context(as_file(files(__package__).joinpath("agents.toml")))
        places = [place(options.inventory_url, folder / f"{name}.db") for name in ("warehouse", "erp")]
        outside, pager = Outside(folder, *map(running.enter_context, places)), Pager(SystemClock())
        for service in (outside.server, outside.warehouse, outside.erp, pager):
            _run(running, service)
        node = PrivateNode(folder / "rabbitmq") if private_node else None
        if node is not None:
            say("RabbitMQ, a private node on a free port")
            _run(running, node)
            amqp_url = node.url
        chosen = settings(folder, registry, pager, amqp_url, policy="default")
        chosen.config.gateway_file.write_text(outside.served(folder, endpoint))
        roles = _ROLES[: None if options.dashboard else -1]
        say(f"the collector: {', '.join(roles)}")
        supervisor = Supervisor(chosen.config, roles, chosen.environment)
        _run(running, supervisor)
        say("the agents")
        stage = Mesh(chosen, outside, supervisor, node)
        _run(running, stage)
        yield stage


def _run(running: ExitStack, service: Service | PrivateNode) -> None:
    running.callback(service.stop)
    service.start()
