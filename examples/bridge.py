"""The bridge from webhooks to the bus: what a company writes in an afternoon to let agents hear of the outside world.

It posts each webhook as a plain message on the exchange for events. There is no trace context in a webhook, so there
is none in the message: whoever handles it starts a new trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from examples.web import Answer, Request, WebServer, not_found
from fusebox.errors import BadMessage, Retryable, Unroutable
from fusebox.names import EXCHANGE_EVENTS
from rabbitmq.broker import Broker, Message


class Bridge:
    """Turns ``POST {notice, …}`` into a message.

    Args:
        broker: where the messages go.
        keys: the routing key of each notice it takes.
    """

    def __init__(self, broker: Broker, keys: Mapping[str, str]) -> None:
        self._broker = broker
        self._keys = keys
        self._web = WebServer(self._respond)
        self.url = self._web.url

    def start(self) -> None:
        self._web.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._web.stop(timeout)

    def _respond(self, request: Request) -> Answer:
        if request.method != "POST":
            return not_found(request)
        data = request.json()
        notice = data.pop("notice", None)
        if notice not in self._keys:
            raise BadMessage(f"nobody here takes the notice {notice!r}")
        try:
            self._broker.publish(EXCHANGE_EVENTS, self._keys[notice], Message(json.dumps(data).encode()))
        except (Retryable, Unroutable) as error:
            return Answer({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
        return Answer({})
