"""What a call leaves behind is free at once: a collector of garbage that has much to do makes every call slower."""

import gc
import http.client
import json
from urllib.parse import urlsplit

from tests.fixtures.gateway import Provider, StartGateway, whole
from tests.gateway.test_ledger import CHAT
from tests.gateway.test_quota import TOKENS


def test_calls_leave_no_circles_behind(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=10_000_000))
    provider.answers = [whole("openai_chat.json")]
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=20)

    def call(number: int) -> None:
        body = CHAT | {"messages": [{"role": "user", "content": f"Is ticket {number} {'so' * number} solved?"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {running.key}"})
        answer = connection.getresponse()
        assert (answer.status, len(answer.read()) > 0) == (200, True)

    call(0)  # the first imports and fills caches
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        for number in range(1, 4):
            call(number)
        gc.collect()
        left = sorted({f"{type(each).__module__}.{type(each).__name__}" for each in gc.garbage})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        connection.close()
    assert [name for name in left if name.startswith(("gateway.", "_asyncio."))] == []
