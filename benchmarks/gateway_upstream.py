"""A model provider that takes no time: ``python -m benchmarks.gateway_upstream PORT``.

It answers chat completions with a fixed text, in one piece or in :data:`CHUNKS` chunks, and takes spans and drops them.
What an answer used is half of the request's ``max_tokens``, so that an oracle can add it up.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final, cast

import uvloop

CHUNKS: Final = 51
_HEAD: Final = {"id": "chatcmpl-bench", "created": 1766000000, "model": "gpt-5-mini"}


def _whole(limit: int) -> bytes:
    message = {"role": "assistant", "content": "The shipment of the ordered goods has left the harbour. " * 4}
    used = limit // 2
    usage = {"prompt_tokens": 50, "completion_tokens": used, "total_tokens": 50 + used}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _events() -> list[bytes]:
    deltas = [{"role": "assistant", "content": ""}, *({"content": f"word{n} "} for n in range(CHUNKS - 3))]
    told = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks = [{**_HEAD, "object": "chat.completion.chunk", "choices": [choice]} for choice in told]
    last = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 50, "completion_tokens": 50, "total_tokens": 100}
    chunks.append({**_HEAD, "object": "chat.completion.chunk", "choices": last})
    chunks.append({**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    return [b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks] + [b"data: [DONE]\n\n"]


_EVENTS: Final = _events()
_STREAM: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_TAKEN: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_ANSWERS: dict[int, bytes] = {}


class Provider(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._data = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            length = _length(head.lower())
            if len(rest) < length:
                return
            self._data = rest[length:]
            self._answer(head, rest[:length])

    def _answer(self, head: bytes, body: bytes) -> None:
        if b"/chat/completions" not in head[:200]:
            self._transport.write(_TAKEN)
        elif b'"stream":true' in body or b'"stream": true' in body:
            asyncio.get_running_loop().create_task(self._stream())
        else:
            asked = json.loads(body)
            limit = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or 100)
            if limit not in _ANSWERS:
                _ANSWERS[limit] = _whole(limit)
            self._transport.write(_ANSWERS[limit])

    async def _stream(self) -> None:
        self._transport.write(_STREAM)
        for event in _EVENTS:
            self._transport.write(b"%x\r\n%s\r\n" % (len(event), event))
            await asyncio.sleep(0)
        self._transport.write(b"0\r\n\r\n")


def _length(head: bytes) -> int:
    at = head.find(b"content-length:")
    return int(head[at + 15 : at + 27].split(b"\r\n")[0]) if at >= 0 else 0


async def main(port: int) -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
