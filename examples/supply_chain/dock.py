"""The dock: where carriers' webhooks arrive, are checked, and become messages.

A webhook is a message once it is confirmed by the broker; until then the carrier is told to come back. Carriers repeat
themselves, so the same body is the same message id, and no completed handler runs twice for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from http import HTTPStatus

from examples.supply_chain.agents import CARRIER_NOTICE, LISTENER_KEYS
from examples.supply_chain.carriers import Unsigned, take
from examples.web import Answer, Request, WebServer, not_found
from fusebox.errors import Retryable, Unroutable
from fusebox.names import EXCHANGE_EVENTS
from rabbitmq.broker import Broker, Message


class Dock:
    """Takes ``POST /{carrier}``.

    Args:
        broker: where the messages go.
        secrets: of each carrier that is known.
    """

    def __init__(self, broker: Broker, secrets: Mapping[str, str]) -> None:
        self._broker, self._secrets = broker, secrets
        self._web = WebServer(self._respond)
        self.url = self._web.url

    def start(self) -> None:
        self._web.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._web.stop(timeout)

    def _respond(self, request: Request) -> Answer:
        carrier = request.path[0] if len(request.path) == 1 else ""
        if request.method != "POST" or carrier not in self._secrets:
            return not_found(request)
        try:
            update = take(carrier, request.headers, request.body, self._secrets[carrier])
        except Unsigned as error:
            return Answer({"error": str(error)}, HTTPStatus.UNAUTHORIZED)
        id = hashlib.sha256(request.body).hexdigest()[:32]
        message = Message(update.model_dump_json().encode(), message_id=f"hook-{id}", correlation_id=f"wf-{id}")
        try:
            self._broker.publish(EXCHANGE_EVENTS, LISTENER_KEYS[CARRIER_NOTICE], message)
        except (Retryable, Unroutable) as error:
            return Answer({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
        return Answer({"workflow": message.correlation_id})
