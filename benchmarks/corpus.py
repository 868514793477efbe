"""OTLP bodies that look like agents at work: what the ingest and scale benchmarks send, to Fusebox and to its peers.

A body is what one process exports at once: :data:`SPANS` spans of one agent. Each trace of some eight spans is one
run of it: it consumes a message, thinks (model calls that report usage), calls tools and publishes. Half of the agents
are ours (fingerprints, no content), half some GenAI instrumentation's with content switched on: arguments, results,
messages. Texts are walks over the word pairs of this project's own documentation: English of the entropy of English,
never twice the same. Ids are random. An agent acts some five times a second, so that its detectors have work and, as
it should be with agents at work, nothing to report. All of it follows from the seed.
"""

from __future__ import annotations

import json
import math
import random
import re
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

SPANS: Final = 512
"""Of one body: the SDK's default for one export."""
AGENTS: Final = 400
_STEP_NS: Final = 200_000_000
_ROOT: Final = Path(__file__).resolve().parent.parent
_WORD: Final = re.compile(r"[A-Za-z][a-z'’-]*[.,;:]?")
_MODELS: Final = (
    ("openai", "gpt-5-mini"), ("openai", "gpt-5"), ("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4o-mini"),
)  # fmt: skip
_TOOLS: Final = ("tickets.comment", "tickets.search", "crm.lookup", "orders.status", "kb.search", "mail.send")
_ROLES: Final = ("ticket-helper", "order-desk", "refunds", "onboarding", "triage", "pricing", "shipping", "research")
_ERRORS: Final = ("timeout", "rate_limit_exceeded", "connection_reset", "invalid_request_error")


class Prose:
    """Endless English: a random walk over the word pairs of the documentation."""

    def __init__(self, rng: random.Random) -> None:
        pages = sorted([*(_ROOT / "docs").rglob("*.md"), _ROOT / "README.md", _ROOT / "CHANGELOG.md"])
        words = _WORD.findall(" ".join(page.read_text(encoding="utf-8") for page in pages))
        self._rng, self._after, self._word = rng, {}, words[0]
        self._words = words
        for word, follower in pairwise(words):
            self._after.setdefault(word, []).append(follower)

    def text(self, shortest: int, longest: int) -> str:
        """A text of so many words."""
        rng, taken = self._rng, []
        for _ in range(rng.randint(shortest, longest)):
            self._word = rng.choice(self._after.get(self._word) or self._words)
            taken.append(self._word)
        return " ".join(taken)


class Corpus:
    """Bodies, one after the other.

    Args:
        seed: everything follows from it.
        end: Unix seconds at which the spans end.
    """

    def __init__(self, seed: int, end: float) -> None:
        self._rng = random.Random(seed)
        self._prose = Prose(self._rng)
        self._end = int(end * 1e9)
        self._bodies = 0

    def body(self, spans: int = SPANS) -> bytes:
        """The next serialised ``ExportTraceServiceRequest``, of so many spans."""
        number, rng = self._bodies, self._rng
        self._bodies += 1
        agent = agent_id(number % AGENTS)
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        _put(
            resource.resource.attributes,
            {
                "service.name": agent, "service.version": f"1.{number % 7}.0", "service.instance.id": _hex(rng, 16),
                "host.name": f"node-{number % 23}", "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry", "deployment.environment.name": "production",
            },
        )  # fmt: skip
        scope = resource.scope_spans.add()
        own = number % 2 == 0
        scope.scope.name, scope.scope.version = ("fusebox", "0.1.0") if own else ("genai-instrumentation", "2.3.1")
        start = self._end - spans * _STEP_NS - rng.randrange(_STEP_NS)
        _Run(rng, self._prose, agent, scope, start, spans, own=own).fill()
        return bytes(request.SerializeToString())

    def bodies(self, count: int, spans: int = SPANS) -> list[bytes]:
        """The next ``count`` bodies."""
        return [self.body(spans) for _ in range(count)]


class _Run:
    """One agent's spans of one body."""

    def __init__(
        self, rng: random.Random, prose: Prose, agent: str, scope: ScopeSpans, start: int, spans: int, *, own: bool
    ) -> None:
        self._rng, self._prose, self._agent, self._scope, self._now, self._own = rng, prose, agent, scope, start, own
        self._trace, self._left = b"", spans
        self._workflow = self._conversation = ""

    def fill(self) -> None:
        while self._left:
            self._trace, self._workflow = self._rng.randbytes(16), f"wf-{_hex(self._rng, 8)}"
            self._conversation = f"conv_{_hex(self._rng, 12)}"
            self._message("process", Span.SPAN_KIND_CONSUMER)
            root = self._span(
                f"invoke_agent {self._agent}", Span.SPAN_KIND_INTERNAL, b"", {"gen_ai.operation.name": "invoke_agent"}
            )
            tokens = self._rng.randint(400, 4_000)
            for _ in range(self._rng.randint(2, 4)):
                tokens += self._chat(root, tokens)
                self._tool(root)
            self._message("publish", Span.SPAN_KIND_PRODUCER)

    def _span(self, name: str, kind: int, parent: bytes, attributes: dict[str, Any], *, failed: str = "") -> bytes:
        rng, id = self._rng, self._rng.randbytes(8)
        if not self._left:
            return id
        self._left -= 1
        span = self._scope.spans.add(
            trace_id=self._trace, span_id=id, parent_span_id=parent, name=name, kind=kind,
            start_time_unix_nano=self._now, end_time_unix_nano=self._now + int(rng.lognormvariate(18, 1.2)),
        )  # fmt: skip
        self._now += int(_STEP_NS * rng.uniform(0.8, 1.2))
        _put(
            span.attributes,
            {"gen_ai.agent.id": self._agent, "gen_ai.conversation.id": self._conversation, **attributes},
        )
        if failed:
            span.status.code, span.status.message = 2, self._prose.text(4, 12)
            _put(span.attributes, {"error.type": failed})
        return id

    def _chat(self, root: bytes, tokens: int) -> int:
        rng, (provider, model), out = self._rng, self._rng.choice(_MODELS), self._rng.randint(20, 600)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model,
            "gen_ai.response.model": model, "gen_ai.response.id": f"chatcmpl-{_hex(rng, 14)}",
            "gen_ai.response.finish_reasons": "stop", "gen_ai.request.temperature": 0.2,
            "gen_ai.request.max_tokens": 1024, "gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": out,
            "gen_ai.usage.cache_read.input_tokens": tokens // 2, "server.address": f"api.{provider}.com",
        }  # fmt: skip
        if self._own:
            attributes |= self._fingerprints("model_call", model, "")
        else:
            attributes |= {
                "gen_ai.input.messages": json.dumps(
                    [{"role": "user", "parts": [{"type": "text", "content": self._prose.text(15, 45)}]}]
                ),
                "gen_ai.output.messages": json.dumps(
                    [{"role": "assistant", "parts": [{"type": "text", "content": self._prose.text(10, 40)}]}]
                ),
            }
        self._span(f"chat {model}", Span.SPAN_KIND_CLIENT, root, attributes)
        return out

    def _tool(self, root: bytes) -> None:
        rng, tool, ticket = self._rng, self._rng.choice(_TOOLS), f"TCK-{self._rng.randint(1000, 99_999)}"
        failed = rng.choice(_ERRORS) if rng.random() < 0.02 else ""
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool, "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": f"call_{_hex(rng, 12)}",
        }  # fmt: skip
        if self._own:
            attributes |= self._fingerprints("tool_call", tool, ticket)
        else:
            attributes |= {
                "gen_ai.tool.call.arguments": json.dumps({"ticket": ticket, "text": self._prose.text(6, 20)}),
                "gen_ai.tool.call.result": json.dumps({"id": rng.randint(1, 10**6), "note": self._prose.text(4, 16)}),
            }
        self._span(f"execute_tool {tool}", Span.SPAN_KIND_INTERNAL, root, attributes, failed=failed)

    def _message(self, verb: str, kind: int) -> None:
        queue = f"{self._agent.rpartition('-')[0]}.events"
        attributes: dict[str, Any] = {
            "messaging.system": "rabbitmq", "messaging.destination.name": queue, "messaging.operation.name": verb,
            "messaging.operation.type": "process" if verb == "process" else "send",
            "messaging.message.id": _hex(self._rng, 16),
            "server.address": "rabbitmq.internal", "server.port": 5672,
        }  # fmt: skip
        if self._own:
            attributes |= self._fingerprints("consume" if verb == "process" else "publish", queue, "")
        self._span(f"{verb} {queue}", kind, b"", attributes)

    def _fingerprints(self, action: str, operation: str, target: str) -> dict[str, Any]:
        rng = self._rng
        return {
            "fusebox.action": action, "fusebox.operation": operation, "fusebox.target": target,
            "fusebox.workflow": self._workflow, "fusebox.request.hash": _hex(rng, 8),
            "fusebox.request.simhash": _hex(rng, 8), "fusebox.result.hash": _hex(rng, 8),
        }  # fmt: skip


def agent_id(number: int) -> str:
    """One of the agents."""
    return f"{_ROLES[number % len(_ROLES)]}-{number}"


def registry() -> str:
    """An ``agents.toml`` that knows all of them: unregistered agents would each raise an alert first."""
    return "\n".join(f'[agents."{agent_id(number)}"]\nowner = "bench"' for number in range(AGENTS))


def entropy(bodies: list[bytes]) -> dict[str, float]:
    """How much there is in ``bodies``: bytes a span, bits a byte (Shannon, of single bytes), and zlib's ratio."""
    data = b"".join(bodies)
    shares = [count / len(data) for count in Counter(data).values()]
    return {
        "bytes_per_span": len(data) / (len(bodies) * SPANS),
        "bits_per_byte": -sum(share * math.log2(share) for share in shares),
        "zlib_ratio": len(data) / len(zlib.compress(data)),
    }


def _put(attributes: Any, values: dict[str, Any]) -> None:
    for key, value in values.items():
        pair = attributes.add(key=key)
        if isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value


def _hex(rng: random.Random, size: int) -> str:
    return rng.randbytes(size).hex()
