"""The stage of the scenes: the whole supply chain on an installation of its own.

::

    outside   carriers' webhooks ─► dock    model provider    warehouse and ERP (credentials: the gateway's only)
    Fusebox   redis · receive · keep · watch · gateway · dashboard (child processes)
    broker    a RabbitMQ node of its own, another RabbitMQ, or in this process
    agents    in this process, on one runtime
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from collector import queries
from collector.approvers import Approvers
from collector.tokens import Tokens
from examples.chat import openai_chat
from examples.demo_settings import Options, Settings, data_folder, settings
from examples.demo_stage import until
from examples.model_server import ModelServer
from examples.pager import Pager
from examples.scenes.models import SMALL_MODEL, Models
from examples.supply_chain.agents import ANALYST, ANALYST_MODEL, EXECUTOR, CarrierUpdate
from examples.supply_chain.carriers import FEDEX, MAERSK, post
from examples.supply_chain.dock import Dock
from examples.supply_chain.mesh import analyst, executor, listener
from examples.supply_chain.systems import Erp, Warehouse
from examples.through import Through
from examples.web import Json, post_bytes
from fusebox import webhooks
from fusebox.clock import SystemClock
from fusebox.control import ControlClient
from fusebox.errors import ControlUnavailable
from fusebox.lifecycle import Stack
from fusebox.rundir import lookup, url_of
from fusebox.supervisor import Supervisor
from gateway.keys import ANY, FILE, Keys
from governance.registry import load_registry
from rabbitmq import Agent, Runtime
from rabbitmq.node import PrivateNode

_ROLES: Final = ("redis", "receive", "keep", "watch", "gateway", "dashboard")
MANAGER: Final = "dana"
NIGHT_BUDGET: Final = 1_500
"""Tokens that the night batch may use on one day."""
_POLL_S: Final = 0.1
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

    def __init__(self, chosen: Settings, runtime: Runtime, node: PrivateNode | None, supervisor: Supervisor) -> None:
        self.config, self.runtime, self.node, self.supervisor = chosen.config, runtime, node, supervisor
        self.models = Models()
        self.agents: dict[str, Agent] = {}
        self.dock: Dock
        self.warehouse: Warehouse
        self.erp: Erp
        self._secrets = {FEDEX: os.urandom(16).hex(), MAERSK: os.urandom(16).hex()}
        self._signing, self._public = webhooks.new_key_pair()
        self._shipments = iter(range(200))
        self._token = ""
        self._keys: dict[str, str] = {}

    # --- the world ----------------------------------------------------------------------------------------------------
    def delay(self, note: str = "Engine repair, vessel at anchor", carrier: str = MAERSK) -> CarrierUpdate:
        """A shipment of its own that comes late enough to empty a shelf."""
        shipment = f"SCN-{next(self._shipments):04d}"
        name = "Maersk" if carrier == MAERSK else "FedEx"
        return CarrierUpdate(
            carrier=name, shipment=shipment, status="delayed", date="2026-03-02", eta="2026-03-14", place="Suez", note=note
        )

    def carrier_posts(self, update: CarrierUpdate, *, secret: str = "") -> tuple[int, Json]:
        """The carrier's webhook, as it would arrive at the dock."""
        carrier = MAERSK if update.carrier == "Maersk" else FEDEX
        body, headers = post(carrier, update, secret or self._secrets[carrier])
        return post_bytes(f"{self.dock.url}/{carrier}", body, headers)

    def through(self, agent: str) -> Through:
        """An agent's way through the gateway."""
        return Through(str(url_of(self.config, "gateway", "control_url")), self._keys[agent])

    def ordered(self, shipment: str) -> list[Json]:
        """Purchase orders for a shipment."""
        return [order for order in self.erp.orders() if order.get("shipment") == shipment]

    def remembered(self, workflow: str) -> list[Any]:
        """What the agents of a workflow remember."""
        return list(self.runtime.contexts.read(workflow))

    # --- people -------------------------------------------------------------------------------------------------------
    @property
    def manager(self) -> ControlClient:
        """The manager's way to *watch*.

        Raises:
            ControlUnavailable: it does not run just now.
        """
        url = url_of(self.config, "watch", "control_url")
        if url is None:
            raise ControlUnavailable("watch is away")
        return ControlClient(url, self._token)

    def asked(self, word: str) -> Json:
        """The approval that waits for people and in whose arguments ``word`` stands, once there is one."""
        return until(lambda: self._waiting(word), f"somebody is asked about {word}", 30)

    def sign_off(self, approval: Json, *, approve: bool = True, reason: str = "read it", id: str = "") -> tuple[int, Json]:
        """The manager's answer as a signed webhook."""
        data = {"approval": approval["id"], "digest": approval["digest"], "approve": approve, "reason": reason}
        body = webhooks_body(data)
        headers = webhooks.signed_headers(self._signing, id or f"msg_{os.urandom(8).hex()}", int(SystemClock().wall()), body)
        return post_bytes(f"{url_of(self.config, 'watch', 'control_url')}/v1/approvals/webhook", body, headers)

    @contextmanager
    def signing(self, word: str = "") -> Iterator[None]:
        """The manager agrees to whatever the Executor asks, whenever *watch* is there to tell."""
        over = threading.Event()

        def agree() -> None:
            while not over.wait(_POLL_S):
                with suppress(Exception):  # watch may be away for a moment; that is what scenes are about
                    for row in self._pending():
                        self.manager.answer(row["id"], row["digest"], True, "as agreed")

        thread = threading.Thread(target=agree, name="manager", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(10)

    def _pending(self) -> list[Json]:
        return [row for row in self.manager.approvals()["approvals"] if row["stage"] == "pending"]

    def _waiting(self, word: str) -> Json | None:
        shown = (self.manager.approval(row["id"]) for row in self._pending())
        return next((each for each in shown if word in each["request"]["arguments"]), None)

    # --- what is on record --------------------------------------------------------------------------------------------
    def query(self, name: str, **parameters: Any) -> list[Json]:
        """Rows of a named query."""
        with closing(queries.connect(self.config)) as client:
            return queries.run(client, name, **parameters)

    def refusals(self, agent: str, guard: str) -> list[Json]:
        """What a guard has denied an agent, as the audit log has it."""
        return [row for row in self.query("ask_refusals", agent=agent) if row["guard"] == guard]

    # --- getting ready ------------------------------------------------------------------------------------------------
    def people(self) -> None:
        """The manager gets a token, and a key that signs."""
        self._token = Tokens(self.config.data_dir / "operators.json").add(MANAGER)
        Approvers(self.config.data_dir).add(MANAGER, self._public)

    def cast(self, running: ExitStack) -> None:
        """Start the agents and the dock, sinks first."""
        keys = Keys(self.config.data_dir / FILE, self.config.tenant)
        for name in load_registry(self.config.agents_file).agents:
            self._keys[name] = keys.add(name, team="", models=(ANY,), tools=(ANY,))[1]
        gateway = str(url_of(self.config, "gateway", "control_url"))
        chat = openai_chat(gateway, self._keys[ANALYST])
        cast = (
            executor(self.runtime, self.through(EXECUTOR)),
            analyst(self.runtime, self.through(ANALYST), chat),
            listener(self.runtime),
        )
        self.agents = {agent.name: agent for agent in cast}
        self.dock = Dock(self.runtime.broker, self._secrets)
        started = Stack([self.runtime, *cast, self.dock])
        running.callback(started.stop)
        started.start()


def webhooks_body(data: Json) -> bytes:
    """The body of an answer."""
    import json

    return json.dumps({"type": "approval.answered", "data": data}).encode()


@contextmanager
def mesh(options: Options, amqp_url: str | None, private_node: bool, endpoint: Endpoint, say: Callable[[str], None]) -> Iterator[Mesh]:
    """Everything, running.

    Raises:
        FuseboxError: a part did not start; the others are stopped.
    """
    with ExitStack() as running:
        folder = running.enter_context(data_folder(options))
        registry = running.enter_context(as_file(files(__package__).joinpath("agents.toml")))
        pager = Pager(SystemClock())
        node = PrivateNode(folder / "rabbitmq") if private_node else None
        if node is not None:
            say("RabbitMQ, a private node on a free port")
            _run(running, node)
            amqp_url = node.url
        _run(running, pager)
        chosen = settings(folder, registry, pager, amqp_url, policy="default")
        roles = _ROLES[: None if options.dashboard else -1]
        supervisor = Supervisor(chosen.config, roles, chosen.environment)
        stage = _outside(running, chosen, folder, endpoint, supervisor, node)
        say(f"the collector: {', '.join(roles)}")
        _run(running, supervisor)
        stage.people()
        stage.runtime = Runtime.from_config(chosen.config, name="supply-chain")
        say("the agents")
        stage.cast(running)
        yield stage
