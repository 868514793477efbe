"""A provider whose models call a tool again and again: OpenAI's two APIs and Anthropic's, deterministic.

The model ``looping`` always asks for the same search. ``working`` asks for another one each time, and after
:data:`STEPS` of them says that it is done.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from examples.web import Answer, Json, Request, WebServer

STEPS: Final = 8
PLACES: Final = ("harbour", "airport", "night train", "customs", "depot", "van", "neighbour", "letter box")
_TOOL: Final = "search"


def respond(request: Request) -> Answer:
    """Answer a request to any of the three."""
    body = request.json()
    if request.path[-1] == "completions":
        return Answer(_chat(body))
    if request.path[-1] == "responses":
        return Answer(_response(body))
    if request.path[-1] == "messages":
        return Answer(_message(body))
    return Answer({"error": {"message": f"nothing at {request.path}"}}, HTTPStatus.NOT_FOUND)


def serve() -> WebServer:
    """The provider on a free port of the loopback interface, not yet started."""
    return WebServer(respond)


def _next(body: Json, step: int) -> Json | None:
    """The arguments of the next call of the tool; None when the model is done."""
    if body["model"] == "looping":
        return {"where": "everywhere"}
    return {"where": PLACES[step]} if step < STEPS else None


def _chat(body: Json) -> Json:
    messages: list[Any] = body["messages"]
    step = sum(message["role"] == "tool" for message in messages)
    wanted = _next(body, step)
    message: Json = {"role": "assistant", "content": None if wanted else "The parcel is found.", "refusal": None}
    if wanted:
        function = {"name": _TOOL, "arguments": json.dumps(wanted)}
        message["tool_calls"] = [{"id": f"call_{step}f7a1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if wanted else "stop"}
    usage = {"prompt_tokens": 40 + 20 * step, "completion_tokens": 12, "total_tokens": 52 + 20 * step}
    head = {"id": f"chatcmpl-{step}", "object": "chat.completion", "created": 1_700_000_000, "model": body["model"]}
    return {**head, "choices": [choice], "usage": usage}


def _response(body: Json) -> Json:
    said: list[Any] = body["input"] if isinstance(body["input"], list) else []
    step = sum(item.get("type") == "function_call_output" for item in said)
    wanted = _next(body, step)
    text = {"type": "output_text", "text": "The parcel is found.", "annotations": []}
    message: Json = {"type": "message", "id": f"msg_{step}", "role": "assistant", "content": [text]}
    call = {"type": "function_call", "id": f"fc_{step}", "call_id": f"call_{step}f7a1", "name": _TOOL}
    output = call | {"arguments": json.dumps(wanted)} if wanted else message
    usage = {
        "input_tokens": 40 + 20 * step, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 12,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 52 + 20 * step,
    }  # fmt: skip
    return {
        "id": f"resp_{step}", "object": "response", "created_at": 1_700_000_000, "status": "completed",
        "model": body["model"], "output": [output | {"status": "completed"}], "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "usage": usage,
    }  # fmt: skip


def _message(body: Json) -> Json:
    said = [part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]]
    step = sum(part["type"] == "tool_result" for part in said)
    wanted = _next(body, step)
    call = {"type": "tool_use", "id": f"toolu_{step}f7a1", "name": _TOOL, "input": wanted}
    return {
        "id": f"msg_{step}", "type": "message", "role": "assistant", "model": body["model"],
        "content": [call if wanted else {"type": "text", "text": "The parcel is found."}],
        "stop_reason": "tool_use" if wanted else "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 40 + 20 * step, "output_tokens": 12},
    }  # fmt: skip
