"""Trials: what the self-test sends, and what upstreams then answer; a guard must deny each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import orjson

from fusebox import guard
from fusebox.command import Keyring, Signer, allow_list
from fusebox.guard import Guards
from fusebox.records import Action, Verdict
from gateway.limits import Limit, Measure, Scope
from gateway.masking import RoutePolicy, Treatment
from gateway.settings import GatewaySettings
from gateway.sse import event
from rabbitmq.runtime import Runtime

AGENT: Final = "fusebox-self-test"
MODEL: Final = "fusebox-self-test-model"
TOOL: Final = "fusebox-self-test-tool"
OTHER: Final = "fusebox-self-test-other"
NO_ADDRESS: Final = "http://127.0.0.1:9/self-test"
_CHAT: Final = "/v1/chat/completions"
_TOOLS: Final = f"/tools/{TOOL}/x"


@dataclass(frozen=True, slots=True)
class Trial:
    """One request that must be denied, or whose answer must be.

    Args:
        guard: whose.
        code: what the denial must be called.
        prepare: brings about what the guard is to stop.
        settings: what the guard is told; all other guards that settings switch on are off.
        body: beside the model; ``path``: where it is sent.
        policy: the policy that is asked.
        answer: what the upstream answers, in pieces; with none it must not be reached.
    """

    guard: str
    code: str
    prepare: Callable[[Runtime], object] = lambda _: None
    key: bool = True
    model: str = MODEL
    settings: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    path: str = _CHAT
    policy: str | None = None
    answer: tuple[bytes, ...] = ()


def trials(settings: GatewaySettings) -> Iterator[Trial]:
    """Some for each guard that these settings ask for."""
    yield from _ALWAYS
    if settings.masking is not None:
        blocking = settings.masking.model_copy(update={"routes": {"*": RoutePolicy(default=Treatment.BLOCK)}})
        yield from _trials("masking", {"masking": blocking}, {"messages": [{"role": "user", "content": _MAIL}]},
                           {"role": "assistant", "content": _MAIL})  # fmt: skip
        yield Trial("masking of results", "deny_by_masking", settings={"masking": blocking}, path=_TOOLS,
                    answer=(orjson.dumps({"text": _MAIL}),))  # fmt: skip
    if settings.filter is not None:
        call = {"name": TOOL, "arguments": orjson.dumps(_SQL).decode()}
        calls = [{"index": 0, "id": "call_1", "type": "function", "function": call}]
        yield from _trials("filter", {"filter": settings.filter}, _SQL, {"role": "assistant", "tool_calls": calls},
                           _TOOLS)  # fmt: skip


def _trials(
    whose: str, settings: Mapping[str, Any], body: Mapping[str, Any], message: Mapping[str, Any], path: str = _CHAT
) -> Iterator[Trial]:
    """What a request must not say, and a whole answer or a stream of a model must not, either."""
    code = f"deny_by_{whose}"
    yield Trial(whose, code, settings=settings, body=body, path=path)
    whole = orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    yield Trial(f"{whose} of answers", code, settings=settings, answer=(whole,))
    yield Trial(f"{whose} of streams", code, settings=settings, body={"stream": True}, answer=_streamed(message))


def _streamed(message: Mapping[str, Any]) -> tuple[bytes, ...]:
    pieces: tuple[tuple[Mapping[str, Any], str | None], ...] = ((message, None), ({}, "stop"))
    told = [{"choices": [{"index": 0, "delta": delta, "finish_reason": why}]} for delta, why in pieces]
    return (*map(event, told), b"data: [DONE]\n\n")


def _kill(runtime: Runtime) -> object:
    return runtime.latch.kill("self-test", f"agent:{AGENT}", reason="self-test")


def _trip(runtime: Runtime) -> object:
    return runtime.circuits.trip(AGENT, reason="self-test", actor="self-test")


def _orphan(runtime: Runtime) -> None:
    """Obey somebody whom nobody has heard of yet."""
    runtime.link.obey(Keyring.load(allow_list(Signer.generate())))


class _Holding:
    """A guard that wants people asked, of whom there are none."""

    name = "self-test"

    def check(self, action: Action) -> Verdict:  # noqa: ARG002 - the protocol's
        return guard.hold(self.name, "self-test")


def _hold(runtime: Runtime) -> None:
    runtime.guards = Guards([_Holding()])


def _tokens(limit: int) -> Mapping[str, Any]:
    return {"limits": (Limit(scope=Scope.AGENT, measure=Measure.TOKENS, limit=Decimal(limit), window_s=60),)}


_MAIL: Final = "write to self-test@example.com"
_SQL: Final = {"sql": "DROP TABLE users; SELECT 1"}
_ALWAYS: Final = (
    Trial("key", "invalid_api_key", key=False),
    Trial("model", "model_not_allowed", model=OTHER),
    Trial("tool", "tool_not_allowed", path=f"/tools/{OTHER}/x"),
    Trial("latch", "agent_tripped", _kill),
    Trial("snapshot", "agent_unverified", _orphan),
    Trial("circuit", "agent_tripped", _trip),
    Trial("approval", "approval_unavailable", _hold, path=_TOOLS),
    Trial("policy", "denied_by_policy", policy=NO_ADDRESS),
    Trial("quota", "insufficient_quota", settings=_tokens(1)),
    Trial("quota of streams", "quota_used_up", settings=_tokens(10**9), body={"stream": True, "max_tokens": 1},
          answer=_streamed({"role": "assistant", "content": "self-test " * 100})),
)  # fmt: skip
