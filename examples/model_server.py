"""A model provider that costs nothing: OpenAI's chat completions over HTTP, deterministic and scriptable.

The ``openai`` client library talks to it unchanged::

    server = ModelServer(by_model({"gpt-5-mini": my_script}), seed=7)
    server.start()
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="not needed")

A script is any callable ``(messages, model, seed) → text``. The same messages, model and seed give the same answer,
the same id and the same usage. Streams, ``stream_options.include_usage``, ``seed``, ``max_tokens`` and
``max_completion_tokens`` are honoured. A token counts as four characters, plus four for the frame of each message.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from examples.web import Answer, Json, Request, WebServer
from fusebox.clock import Clock, SystemClock
from fusebox.errors import BadMessage

ChatMessage = Mapping[str, Any]
Script = Callable[[Sequence[ChatMessage], str, int], str]

_CHARS_PER_TOKEN: Final = 4
_FRAME_TOKENS: Final = 4


def dice(seed: int, *parts: object) -> random.Random:
    """A random generator that depends on nothing but the seed and ``parts``."""
    return random.Random(f"{seed}:{json.dumps(parts, sort_keys=True, default=str)}")


def by_model(scripts: Mapping[str, Script]) -> Script:
    """One script out of several, chosen by the model's name."""

    def choose(messages: Sequence[ChatMessage], model: str, seed: int) -> str:
        if model not in scripts:
            raise BadMessage(f"the model {model!r} does not exist; there are {', '.join(sorted(scripts))}")
        return scripts[model](messages, model, seed)

    return choose


@dataclass(frozen=True, slots=True)
class Completion:
    """What one request is answered with."""

    id: str
    model: str
    created: int
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def usage(self) -> Json:
        """The usage block, as OpenAI spells it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    def whole(self) -> Json:
        """The answer to a request without ``stream``."""
        message = {"role": "assistant", "content": self.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}

    def chunks(self, include_usage: bool) -> Iterator[str]:
        """The server-sent events of a request with ``stream``."""
        tail: Json = {"usage": None} if include_usage else {}
        words = self.text.split(" ")
        deltas = [{"role": "assistant", "content": ""}, *({"content": w} for w in _spaced(words))]
        for delta in deltas:
            yield json.dumps({**self._head("chat.completion.chunk"), "choices": [_choice(delta, None)], **tail})
        yield json.dumps({**self._head("chat.completion.chunk"), "choices": [_choice({}, self.finish_reason)], **tail})
        if include_usage:
            yield json.dumps({**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage})
        yield "[DONE]"

    def _head(self, kind: str) -> Json:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def complete(request: Json, script: Script, seed: int, now: float) -> Completion:
    """Answer one chat completion request.

    Raises:
        BadMessage: the request is none.
    """
    messages, model = request.get("messages"), request.get("model")
    if not isinstance(model, str) or not isinstance(messages, list) or not messages:
        raise BadMessage("a chat completion needs 'model' and a list of 'messages'")
    if not all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in messages):
        raise BadMessage("each message needs a text 'content'; this server reads text only")
    chosen = int(request["seed"]) if isinstance(request.get("seed"), int) else seed
    text, reason = _cut(script(messages, model, chosen), _limit(request))
    digest = hashlib.sha256(json.dumps([messages, model, chosen]).encode()).hexdigest()
    prompt = sum(_tokens(m["content"]) + _FRAME_TOKENS for m in messages)
    return Completion(f"chatcmpl-{digest[:24]}", model, int(now), text, reason, prompt, _tokens(text))


class ModelServer:
    """Serves :func:`complete` on a loopback port.

    Args:
        script: what the models say.
        seed: for requests that bring none.
        think: called before each answer; sleeps as long as a model would think.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        script: Script,
        *,
        seed: int = 0,
        think: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        self._script = script
        self._seed = seed
        self._think = think
        self._clock = clock or SystemClock()
        self._web = WebServer(self._respond, port)
        self.url = self._web.url

    def start(self) -> None:
        self._web.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._web.stop(timeout)

    def _respond(self, request: Request) -> Answer:
        if (request.method, request.path) != ("POST", ("v1", "chat", "completions")):
            return _error(HTTPStatus.NOT_FOUND, "this server speaks POST /v1/chat/completions only")
        try:
            body = request.json()
            done = complete(body, self._script, self._seed, self._clock.now())
        except BadMessage as error:
            return _error(HTTPStatus.BAD_REQUEST, str(error))
        self._think()
        if body.get("stream"):
            return Answer(done.chunks(bool((body.get("stream_options") or {}).get("include_usage"))))
        return Answer(done.whole())


def _error(status: HTTPStatus, sentence: str) -> Answer:
    return Answer(
        {"error": {"message": sentence, "type": "invalid_request_error", "param": None, "code": None}}, status
    )


def _choice(delta: Json, reason: str | None) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _spaced(words: Sequence[str]) -> Iterator[str]:
    return (word if i == 0 else f" {word}" for i, word in enumerate(words))


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARS_PER_TOKEN)


def _limit(request: Json) -> int | None:
    limit = request.get("max_completion_tokens", request.get("max_tokens"))
    return limit if isinstance(limit, int) and limit > 0 else None


def _cut(text: str, limit: int | None) -> tuple[str, str]:
    if limit is None or _tokens(text) <= limit:
        return text, "stop"
    return text[: limit * _CHARS_PER_TOKEN], "length"
