"""The agent under fault: a program of its own that handles parcels and notes what it does.

``python -m tests.faults.worker NOTES`` with Fusebox's settings in the environment. A parcel may order a deed:

    work    take ``seconds`` over it
    die     wait until as many handlers as the prefetch are at work, then SIGKILL this process; only ``times`` times
    fork    fork; the child tries to publish as it is (refused), then with a runtime of its own (a parcel it was given)
    offend  acknowledge a delivery tag that never was: RabbitMQ closes the consumer's channel with 406
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, NoReturn

from fusebox.config import load_config
from fusebox.errors import FuseboxError
from rabbitmq import Agent, Context, Runtime
from tests.faults.notes import Notes, noting_happenings
from tests.faults.oracle import digest

AGENT: Final = "lab-worker"
KEY: Final = "lab.parcel"
PREFETCH: Final = 50
_FORK_S: Final = 15.0


class _Ready(Agent):
    """Notes when it consumes."""

    def __init__(self, notes: Notes, runtime: Runtime) -> None:
        super().__init__(AGENT, runtime, concurrency=PREFETCH)
        self._notes = notes

    def start(self) -> None:
        super().start()
        self._notes.write("ready", "", str(os.getpid()))


class Worker:
    """The agent and its deeds."""

    def __init__(self, notes: Notes, runtime: Runtime) -> None:
        self._notes, self._runtime = notes, runtime
        self._deaths = runtime.config.data_dir / "deaths"
        self._deaths.mkdir(parents=True, exist_ok=True)
        self._numbers: dict[str, str] = {}
        self._at_work = 0
        self._changed = threading.Condition()
        self.agent = _Ready(notes, runtime)
        self.agent.on(KEY)(self.handle)
        self._recorded, runtime.claims.done = runtime.claims.done, self._done  # type: ignore[method-assign]

    def handle(self, body: bytes, ctx: Context) -> None:
        parcel = json.loads(body)
        assert ctx.message is not None
        self._numbers[ctx.message.message_id] = parcel["id"]
        self._notes.write("started", parcel["id"], digest(body))
        with self._counted():
            getattr(self, parcel["deed"])(parcel, ctx)
        self._notes.write("finished", parcel["id"])

    def _done(self, agent: str, message_id: str) -> None:
        self._recorded(agent, message_id)
        self._notes.write("completed", self._numbers.pop(message_id))

    @contextlib.contextmanager
    def _counted(self) -> Any:
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._changed:
            self._at_work += change
            self._changed.notify_all()

    # --- deeds ------------------------------------------------------------------------------------------------------
    def work(self, parcel: dict[str, Any], ctx: Context) -> None:
        time.sleep(parcel["seconds"])

    def die(self, parcel: dict[str, Any], ctx: Context) -> None:
        deaths = self._deaths / parcel["id"]
        with deaths.open("a") as file:
            if file.tell() == parcel["times"]:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._at_work >= PREFETCH, parcel["seconds"])
            file.write(".")
        self._notes.write("dying", parcel["id"], str(self._at_work))
        os.kill(os.getpid(), signal.SIGKILL)

    def offend(self, parcel: dict[str, Any], ctx: Context) -> None:
        subscription: Any = self.agent._consumer
        subscription._io.run(lambda: subscription._lane.channel.basic_ack(1 << 40))
        time.sleep(parcel["seconds"])

    def fork(self, parcel: dict[str, Any], ctx: Context) -> None:
        child = os.fork()
        if child == 0:
            self._as_child(parcel, ctx)
        deadline = time.monotonic() + _FORK_S
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                self._notes.write("hung", parcel["id"])
                return
            time.sleep(0.05)

    def _as_child(self, parcel: dict[str, Any], ctx: Context) -> NoReturn:
        try:
            self._notes.write("forked", parcel["id"], self._attempt(ctx))
            runtime = Runtime.from_config(load_config(), name="lab-child")
            runtime.start()
            child: str = parcel["child"]
            Agent("lab-child", runtime).publish(KEY, child)
            self._notes.write("confirmed", json.loads(child)["id"])
            runtime.stop(2)
        finally:
            os._exit(0)

    @staticmethod
    def _attempt(ctx: Context) -> str:
        try:
            ctx.publish(KEY, b"from a fork", timeout=2)
        except FuseboxError as error:
            return type(error).__name__
        return "published"


def main(path: Path) -> None:
    notes = Notes(path)
    with noting_happenings(notes):
        Worker(notes, Runtime.from_config(load_config(), name=AGENT)).agent.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
