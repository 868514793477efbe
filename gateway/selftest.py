"""Self-test: before the gateway serves, one request that must be denied goes through every guard.

A guard that was built and never asked is worse than none, because people rely on it. So the gateway is put together
once more, by the same function and from the same settings, around a runtime of its own in a folder that is thrown away;
there an agent is killed, another tripped, and so on, and each of them asks. Whoever gets past its guard meets an
upstream that only notes that it was reached.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson

from fusebox.clock import SystemClock
from fusebox.command import Keyring, Signer, allow_list
from fusebox.config import Config
from fusebox.errors import FuseboxError
from fusebox.registry import Registry
from fusebox.store import MemoryStore
from gateway.limits import Limit, Measure
from gateway.limits import Scope as Whose
from gateway.masking import RoutePolicy, Treatment
from gateway.parts import Parts, assemble
from gateway.providers.base import Outgoing
from gateway.settings import GatewaySettings, Kind, Model, Provider, Tool
from gateway.settings import Upstream as Limits
from gateway.upstream import Reader, T, Upstream
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.runtime import Runtime

_AGENT: Final = "fusebox-self-test"
_MODEL: Final = "fusebox-self-test-model"
_OTHER: Final = "fusebox-self-test-other"
_TOOL: Final = "fusebox-self-test-tool"
_NO_ADDRESS: Final = "http://127.0.0.1:9"
_ELSEWHERE: Final = ("otlp_endpoint", "control_url", "command_keys", "redis_url", "amqp_url", "policy_keys")
_CHAT: Final = "/v1/chat/completions"


class SelfTestFailed(FuseboxError):
    """A guard let a request through that it must deny; nothing is served."""


class Reached(Exception):
    """A request of the self-test got as far as the upstream."""


class _Nowhere(Upstream):
    """The upstream of the self-test."""

    async def send(self, outgoing: Outgoing, limits: Limits, read: Reader[T]) -> T:  # noqa: ARG002 - nothing is sent
        raise Reached


@dataclass(frozen=True, slots=True)
class Trial:
    """One request that must be denied.

    Args:
        guard: whose.
        code: what the denial must be called.
        prepare: brings about what the guard is to stop.
        settings: what the guard is told; all other guards that settings switch on are off.
        body: beside the model; ``path``: where it is sent.
        policy: the policy that is asked.
    """

    guard: str
    code: str
    prepare: Callable[[Runtime], object] = lambda _: None
    key: bool = True
    model: str = _MODEL
    settings: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    path: str = _CHAT
    policy: str | None = None


def _kill(runtime: Runtime) -> object:
    return runtime.latch.kill("self-test", f"agent:{_AGENT}", reason="self-test")


def _trip(runtime: Runtime) -> object:
    return runtime.circuits.trip(_AGENT, reason="self-test", actor="self-test")


def _orphan(runtime: Runtime) -> None:
    """Obey somebody whom nobody has heard of yet."""
    runtime.link.obey(Keyring.load(allow_list(Signer.generate())))


_ONE_TOKEN: Final = Limit(scope=Whose.AGENT, measure=Measure.TOKENS, limit=Decimal(1), window_s=60)
_OFF: Final = {"limits": (), "masking": None, "filter": None, "plant_canaries": False}
_TRIALS: Final = (
    Trial("key", "invalid_api_key", key=False),
    Trial("model", "model_not_allowed", model=_OTHER),
    Trial("tool", "tool_not_allowed", path=f"/tools/{_OTHER}/x"),
    Trial("latch", "agent_tripped", _kill),
    Trial("snapshot", "agent_unverified", _orphan),
    Trial("circuit", "agent_tripped", _trip),
    Trial("policy", "denied_by_policy", policy=_NO_ADDRESS),
    Trial("quota", "insufficient_quota", settings={"limits": (_ONE_TOKEN,)}),
)


def trials(settings: GatewaySettings) -> Iterator[Trial]:
    """One for each guard that these settings ask for."""
    yield from _TRIALS
    if settings.masking is not None:
        blocking = settings.masking.model_copy(update={"routes": {"*": RoutePolicy(default=Treatment.BLOCK)}})
        body = {"messages": [{"role": "user", "content": "write to self-test@example.com"}]}
        yield Trial("masking", "deny_by_masking", settings={"masking": blocking}, body=body)
    if settings.filter is not None:
        sql = {"sql": "DROP TABLE users; SELECT 1"}
        told = {"filter": settings.filter}
        yield Trial("filter", "deny_by_filter", settings=told, body=sql, path=f"/tools/{_TOOL}/x")


def self_test(settings: GatewaySettings, config: Config) -> None:
    """Try every guard.

    Raises:
        SelfTestFailed: one let its request through, or denied it for another reason.
    """
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
    provider = Provider(kind=Kind.OPENAI, url=_NO_ADDRESS)
    models = {name: Model(provider="self-test") for name in (_MODEL, _OTHER)}
    tools = {name: Tool(url=_NO_ADDRESS) for name in (_TOOL, _OTHER)}
    update = {
        "providers": {**settings.providers, "self-test": provider}, "models": {**settings.models, **models},
        "tools": {**settings.tools, **tools}, **_OFF, **trial.settings,
    }  # fmt: skip
    return assemble(settings.model_copy(update=update), runtime, _Nowhere())


async def _ask(parts: Parts, trial: Trial, runtime: Runtime) -> str:
    _, key = parts.keys.add(_AGENT, team="", models=(_MODEL,), tools=(_TOOL,))
    trial.prepare(runtime)
    content = {"messages": [{"role": "user", "content": "self-test"}], **trial.body}
    body = orjson.dumps({"model": trial.model, **content})
    answer: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    await parts.door(_scope(trial.path, key if trial.key else ""), receive, send)
    told = orjson.loads(b"".join(message.get("body", b"") for message in answer))
    return str(told.get("error", {}).get("code", "nothing"))


def _scope(path: str, key: str) -> dict[str, Any]:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
