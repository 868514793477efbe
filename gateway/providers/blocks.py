"""Blocks: the pieces of a chat's stream as the content blocks of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.providers.translation import Json


class Blocks:
    """Of one stream, numbered in the order in which they begin."""

    def __init__(self) -> None:
        self._begun = 0
        self._calls: dict[int, tuple[int, Json]] = {}
        """By the number that the server gives a call: its block."""
        self._open: list[int] = []
        self._in_text = False

    def text(self, text: str) -> Iterator[Json]:
        """A piece of text."""
        if not text:
            return
        if not self._in_text:
            yield from self.close()
            self._in_text = True
            yield self._begin({"type": "text", "text": ""})
        yield self._delta(self._open[-1], {"type": "text_delta", "text": text})

    def call(self, call: Json) -> Iterator[Json]:
        """A piece of a tool call. Its block stays open: other calls may begin before its last piece.

        Some servers give all calls one number: a name with another id begins another call.
        """
        number, function = call.get("index", 0), call.get("function") or {}
        block, begun = self._calls.get(number, (0, None))
        if begun is None or (function.get("name") and call.get("id") not in (None, begun["id"])):
            if self._in_text:
                yield from self.close()
            block, begun = self._calls[number] = self._begun, tool_use(call, self._begun)
            yield self._begin(begun)
        if function.get("arguments"):
            yield self._delta(block, {"type": "input_json_delta", "partial_json": function["arguments"]})

    def close(self) -> list[Json]:
        """All that are open."""
        over, self._open, self._in_text = self._open, [], False
        return [{"type": "content_block_stop", "index": index} for index in over]

    def _begin(self, block: Json) -> Json:
        index, self._begun = self._begun, self._begun + 1
        self._open.append(index)
        return {"type": "content_block_start", "index": index, "content_block": block}

    @staticmethod
    def _delta(index: int, delta: Json) -> Json:
        return {"type": "content_block_delta", "index": index, "delta": delta}


def tool_use(call: Json, number: int) -> Json:
    """The block of a tool call, which some servers give no id."""
    name = (call.get("function") or {}).get("name") or ""
    return {"type": "tool_use", "id": call.get("id") or f"call_{number}", "name": name, "input": {}}
