"""The incident in one process on an injected clock: the demo's real agents on the in-process broker, without HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openai.types.chat import ChatCompletion

from examples.chat import Chat
from examples.model_server import by_model, complete
from examples.pace import Pace
from examples.rogue_tickets import texts
from examples.rogue_tickets.agents import BOT, BOT_KEYS, HELPER, HELPER_KEYS, label_bot, ticket_helper
from examples.rogue_tickets.tickets import Tickets
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.names import EXCHANGE_EVENTS
from fusebox.records import State
from rabbitmq import Runtime
from rabbitmq.broker import Message
from tests.fixtures.agents import eventually

KEYS = {**HELPER_KEYS, **BOT_KEYS}


class Rehearsal:
    """Tickets, models and both agents, varied by ``seed``."""

    def __init__(self, seed: int, folder: Path, bound: int) -> None:
        self.seed, self.bound = seed, bound
        self.clock = ManualClock()
        self._pace = Pace(seed, self.clock)
        config = Config(data_dir=folder / "data", agents_file=folder / "agents.toml")
        self.runtime = Runtime.from_config(config, name="rehearsal", clock=self.clock)
        self.tickets = Tickets(self._webhook, bound=bound)
        self._agents = [make(self.runtime, self.tickets, self._chat()) for make in (ticket_helper, label_bot)]

    @contextmanager
    def running(self) -> Iterator["Rehearsal"]:
        for agent in self._agents:
            agent.start()
        try:
            yield self
        finally:
            for agent in self._agents:
                agent.stop()
            self.runtime.stop(0.1)

    def write(self, ticket: tuple[str, str, str]) -> str:
        """A customer writes."""
        return self.tickets.open(*ticket)

    def open_circuits(self) -> list[str]:
        """Who was stopped."""
        return [a for a in (HELPER, BOT) if self.runtime.circuits.circuit(a).state is State.OPEN]

    def unleash(self, ticket: str) -> int:
        """Wait until a circuit or the bound ends the loop; the comments written."""
        eventually(
            lambda: self.open_circuits() or self.tickets.written(ticket) >= self.bound, what="something ends the loop"
        )
        return self.tickets.written(ticket)

    def _webhook(self, notice: str, data: dict[str, Any]) -> None:
        self._pace.pause()
        self.runtime.broker.publish(EXCHANGE_EVENTS, KEYS[notice], Message(json.dumps(data).encode()))

    def _chat(self) -> Chat:
        script = by_model(texts.SCRIPTS)

        def chat(model: str, messages: Any, _headers: dict[str, str]) -> ChatCompletion:
            self._pace.pause()
            answer = complete({"model": model, "messages": messages}, script, self.seed, self.clock.now())
            return ChatCompletion.model_validate(answer.whole())

        return chat
