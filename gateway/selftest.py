"""Self-test: before the gateway serves, what must be denied goes through every guard.

A guard that was built and never asked is worse than none, because people rely on it. So the gateway is put together
once more, by the same function and from the same settings, around a runtime of its own in a folder that is thrown away;
there an agent is killed, another tripped, and so on, and each of them asks. Whoever gets past its guard meets an
upstream that only notes that it was reached, or gives the answer that the guard must keep from the agent. What the
guards say meanwhile is no news to anybody: it is logged to debug, and not counted.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
import orjson

from fusebox import happenings
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.errors import FuseboxError
from fusebox.registry import Registry
from fusebox.store import MemoryStore
from gateway.parts import Parts, assemble
from gateway.providers.base import Outgoing
from gateway.settings import GatewaySettings
from gateway.trials import AGENT, MODEL, NO_ADDRESS, OTHER, TOOL, Trial, trials
from gateway.upstream import Reader, T, Upstream
from gateway.upstream_settings import Kind, Model, Provider, Tool
from gateway.upstream_settings import Upstream as Limits
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.runtime import Runtime

_ELSEWHERE: Final = ("otlp_endpoint", "control_url", "command_keys", "redis_url", "amqp_url", "policy_keys")
_OFF: Final = {"limits": (), "masking": None, "filter": None, "plant_canaries": False}


class SelfTestFailed(FuseboxError):
    """A guard let through what it must deny; nothing is served."""


class Reached(Exception):
    """A request of the self-test got as far as the upstream."""


class _Answer:
    """What is read of an :class:`aiohttp.ClientResponse`."""

    status = HTTPStatus.OK
    content_type = "application/json"

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._pieces, self.content, self.headers = pieces, self, {"content-type": self.content_type}
        self.content_length = sum(map(len, pieces))

    async def read(self) -> bytes:
        return b"".join(self._pieces)

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class _Nowhere(Upstream):
    """The upstream of the self-test."""

    def __init__(self, answer: tuple[bytes, ...]) -> None:
        super().__init__()
        self._answer = answer

    async def send(self, outgoing: Outgoing, limits: Limits, read: Reader[T]) -> T:  # noqa: ARG002 - nothing is sent
        if not self._answer:
            raise Reached
        return await read(cast(aiohttp.ClientResponse, _Answer(self._answer)))


def self_test(settings: GatewaySettings, config: Config) -> None:
    """Try every guard.

    Raises:
        SelfTestFailed: one let its request through, or denied it for another reason.
    """
    with happenings.rehearsal():
        asyncio.run(_all(settings, config))


async def _all(settings: GatewaySettings, config: Config) -> None:
    for trial in trials(settings):
        with _runtime(config, trial.policy) as runtime:
            said = await _ask(_tested(settings, trial, runtime), trial, runtime)
        if said != trial.code:
            raise SelfTestFailed(f"self-test: the guard {trial.guard!r} answered {said!r}, not {trial.code!r}")


@contextmanager
def _runtime(config: Config, policy: str | None) -> Iterator[Runtime]:
    with tempfile.TemporaryDirectory(prefix="fusebox-self-test-") as folder:
        apart = {**dict.fromkeys(_ELSEWHERE), "data_dir": Path(folder), "capture_content": False, "policy": policy}
        # never a new Config: the environment would point it at the real folder and the real Redis
        config = config.model_copy(update=apart)
        runtime = Runtime(config, InProcessBroker(), MemoryStore(), SystemClock(), Registry(), "self-test")
        try:
            yield runtime
        finally:
            runtime.link.stop(0.0)
            runtime.stop(0.0)


def _tested(settings: GatewaySettings, trial: Trial, runtime: Runtime) -> Parts:
    """The gateway as configured, with models and tools more that nobody can reach."""
    provider = Provider(kind=Kind.OPENAI, url=NO_ADDRESS)
    models = {name: Model(provider="self-test") for name in (MODEL, OTHER)}
    tools = {name: Tool(url=NO_ADDRESS) for name in (TOOL, OTHER)}
    update = {
        "providers": {**settings.providers, "self-test": provider}, "models": {**settings.models, **models},
        "tools": {**settings.tools, **tools}, **_OFF, **trial.settings,
    }  # fmt: skip
    return assemble(settings.model_copy(update=update), runtime, _Nowhere(trial.answer))


async def _ask(parts: Parts, trial: Trial, runtime: Runtime) -> str:
    _, key = parts.keys.add(AGENT, team="", models=(MODEL,), tools=(TOOL,))
    trial.prepare(runtime)
    content = {"messages": [{"role": "user", "content": "self-test"}], **trial.body}
    body = orjson.dumps({"model": trial.model, **content})
    answer: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    await parts.door(_scope(trial.path, key if trial.key else ""), receive, send)
    return _code_in(b"".join(message.get("body", b"") for message in answer))


def _code_in(answer: bytes) -> str:
    """What the denial is called; of a stream, that which ends it."""
    told = answer.rpartition(b"data: ")[2]
    error = orjson.loads(told).get("error", {}) if told.startswith(b"{") else {}
    return str(error.get("code", "nothing"))


def _scope(path: str, key: str) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
