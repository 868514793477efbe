"""Driver: recorded traffic through real Agents over the bus, at the pace it was recorded, times the clock's speed.

Each event is a message to its agent; the agent's handler does what the event says (a model call or a tool call with
the recorded outcome). So the guards, circuits, detectors, spans and queues are the ones of production. What an open
circuit holds is accounted for as denied; the sums must agree at the end.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fusebox import fingerprint, names
from fusebox.clock import Clock
from fusebox.errors import ConfigError
from fusebox.records import Action, ActionKind, State, new_id
from fusebox.usage import Usage
from rabbitmq.agent import Agent
from rabbitmq.broker import Message
from rabbitmq.context import Context
from rabbitmq.recording import Recorded
from rabbitmq.runtime import Runtime

_MODEL_OPERATIONS = frozenset({"chat", "llm_call", "thought"})


class RecordedError(Exception):
    """The recorded outcome of this event was an error."""


@dataclass(slots=True)
class Tally:
    """What became of the events."""

    sent: int = 0
    allowed: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def allow(self, event_id: str) -> None:
        """An event was carried out."""
        with self.lock:
            self.allowed[event_id] += 1


class Driver:
    """Plays recorded events.

    Args:
        runtime: where the agents live.
        events: what to play, in time order.
        progress: called with the number of events sent so far.
    """

    def __init__(self, runtime: Runtime, events: Sequence[Recorded], progress: Callable[[int], None]) -> None:
        self._runtime, self._events, self._progress = runtime, events, progress
        self._run = new_id("drive")  # the same recording may be played again: those are other messages
        self.tally = Tally()
        self.agents = {name: self._agent(name) for name in sorted({e.agent for e in events})}

    def start(self) -> None:
        """Bring every agent up.

        Raises:
            ConfigError: messages of an earlier run wait for one of them: the sums could not agree.
        """
        self._runtime.start()
        if left := self.waiting():
            found = ", ".join(f"{name} ({count})" for name, count in left.items())
            raise ConfigError(f"messages from before wait for {found}; handle or drop those first")
        for agent in self.agents.values():
            agent.start()

    def play(self) -> None:
        """Send every event at its time; returns when the last one is sent."""
        clock, broker = self._runtime.clock, self._runtime.broker
        pace = Pace(clock, self._events[0].ts)
        for event in self._events:
            pace.wait(event.ts)
            message = Message(event.model_dump_json().encode(), message_id=f"{self._run}:{event_id(event)}")
            broker.publish(names.EXCHANGE_EVENTS, _key(event.agent), message)
            self.tally.sent += 1
            self._progress(self.tally.sent)

    def waiting(self) -> dict[str, int]:
        """Events that were denied so far, by agent: in its held queue, or in its queue behind a shut valve."""
        depth = self._runtime.broker.depth
        counts = {name: depth(names.held_queue(name)) + depth(name) for name in self.agents}
        return {name: count for name, count in counts.items() if count}

    def settled(self) -> bool:
        """True when every event sent is carried out, or waits because its agent is stopped."""
        waiting = self.waiting()
        stopped = all(self._runtime.circuits.circuit(name).state is not State.CLOSED for name in waiting)
        return stopped and sum(self.tally.allowed.values()) + sum(waiting.values()) >= self.tally.sent

    def _agent(self, name: str) -> Agent:
        agent = Agent(name, self._runtime)

        @agent.on(_key(name))
        def step(event: Recorded, ctx: Context) -> None:
            self._do(event, ctx)

        return agent

    def _do(self, event: Recorded, ctx: Context) -> None:
        try:
            _carry_out(event, ctx)
        except RecordedError:
            pass  # recorded as failed: that is this event's outcome, not ours
        self.tally.allow(event_id(event))


class Pace:
    """Sleeps until an event's time on the (scaled) clock."""

    def __init__(self, clock: Clock, first: float) -> None:
        self._clock, self._offset = clock, clock.monotonic() - first

    def wait(self, ts: float) -> None:
        """Return when the clock has reached the recorded time ``ts``."""
        ahead = ts + self._offset - self._clock.monotonic()
        if ahead > 0:
            self._clock.sleep(ahead)


def event_id(event: Recorded) -> str:
    """The event's own id; behind the run's it is the message's id and the workflow by which its row is found."""
    return f"{event.stream or 'drive'}:{event.seq}"


def _key(agent: str) -> str:
    return f"drive.{agent}"


def _carry_out(event: Recorded, ctx: Context) -> None:
    model = event.operation in _MODEL_OPERATIONS
    action = Action(
        kind=ActionKind.MODEL_CALL if model else ActionKind.TOOL_CALL, agent=ctx.agent, operation=event.operation,
        target=event.target, tenant=ctx.runtime.config.tenant, workflow=ctx.workflow.id,
        request=fingerprint.request_hash(event.operation, event.target, event.payload), lineage=ctx.lineage,
    )  # fmt: skip
    operation = "chat" if model else "execute_tool"
    attributes = {names.GEN_AI_OPERATION: operation, names.GEN_AI_TOOL_NAME: event.operation}
    with ctx.acting(action, f"{operation} {event.operation}", dict(attributes), event.payload) as act:
        act.billed(Usage(event.input_tokens, event.output_tokens))
        act.returned(event.result_head)
        if event.status != "ok":
            raise RecordedError(event.result_head)
