"""Load: ``python -m benchmarks.gateway_load PORT KEY SECONDS CONCURRENT`` prints requests a second."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import cast

import uvloop


class Asker(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    done = 0

    def __init__(self, key: str, dice: random.Random) -> None:
        self._key, self._dice, self._data = key, dice, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        at = lowered.index(b"content-length:") + 15
        if len(rest) >= int(lowered[at : at + 12].split(b"\r\n")[0]):
            assert head[9:12] == b"200", self._data[:500]
            Asker.done += 1
            self._data = b""
            self._ask()

    def _ask(self) -> None:
        words = " ".join(self._dice.choices(("harbour", "invoice", "ship", "ticket", "order", "paper"), k=30))
        body = f'{{"model":"gpt-5-mini","messages":[{{"role":"user","content":"{words}"}}]}}'
        self._transport.write(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {self._key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )


async def main(port: int, key: str, seconds: float, concurrent: int) -> None:
    """Load for a while, after a moment of warming up."""
    loop, dice = asyncio.get_running_loop(), random.Random(3)
    for _ in range(concurrent):
        await loop.create_connection(lambda: Asker(key, dice), "127.0.0.1", port)
    await asyncio.sleep(0.5)
    before, began = Asker.done, time.perf_counter()
    await asyncio.sleep(seconds)
    print((Asker.done - before) / (time.perf_counter() - began))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
