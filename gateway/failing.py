"""What an upstream says when it fails, as its agent may hear it: in the shape of its API, screened like an answer."""

from __future__ import annotations

import orjson

from gateway.aside import aside
from gateway.call import Call
from gateway.denied import Denied
from gateway.dialects import Wire
from gateway.providers.base import upstream_said
from gateway.screen import Screen
from gateway.upstream import Failed, Target


async def told(call: Call, target: Target, failed: Failed) -> Denied:
    """What the agent is told: the upstream's own words, if they are an error of the API that the agent speaks."""
    denied = failed.denied
    native = target.adapter.wire is call.dialect.wire and _is_error(denied.words, call.dialect.wire)
    if denied.words and not native:
        denied = upstream_said(denied)
    if call.screen is None:
        return denied
    return await aside(len(denied.words), _screened, call.screen, denied)


def _screened(screen: Screen, denied: Denied) -> Denied:
    try:
        sentence, words = screen.said(denied.message), denied.words
        if words:
            words = orjson.dumps(screen.said(orjson.loads(words)))
    except Denied as refused:
        sentence = f"the upstream failed with HTTP status {denied.status}; what it says is withheld: {refused.message}"
        words = b""
    return Denied(
        denied.status, denied.code, sentence, retry_after=denied.retry_after, headers=denied.headers, told=denied.told,
        words=words,
    )  # fmt: skip


def _is_error(words: bytes, wire: Wire) -> bool:
    """True for an error that an API's clients can read; those of OpenAI's take any object, and its servers send any."""
    try:
        told = orjson.loads(words)
    except orjson.JSONDecodeError:  # a page, say, of a proxy before it
        return False
    return isinstance(told, dict) and (wire is Wire.OPENAI or isinstance(told.get("error"), dict))
