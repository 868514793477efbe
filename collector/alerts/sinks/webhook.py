"""A webhook, signed as Standard Webhooks describe: 2xx is delivered, 410 disables, anything else is tried again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Fate, Outcome
from collector.alerts.sinks.http import Poster
from fusebox.clock import Clock
from fusebox.webhooks import require_signing_key, signed_headers


class WebhookSink:
    """Posts each parcel.

    Args:
        keys: ``whsec_…`` (HMAC) and ``whsk_…`` (Ed25519); each signs, so receivers can move from one to the next.

    Raises:
        ConfigError: a key is none.
    """

    def __init__(self, name: str, poster: Poster, keys: Sequence[str], clock: Clock) -> None:
        for key in keys:
            require_signing_key(key)
        self.name, self._poster, self._keys, self._clock = name, poster, tuple(keys), clock

    def deliver(self, parcel: Parcel) -> Outcome:
        body = json.dumps(parcel.payload()).encode()
        try:
            headers = signed_headers(self._keys, parcel.id, int(self._clock.wall()), body)
        except ValueError as error:  # this parcel's id cannot travel; the others can
            return Outcome(Fate.REFUSED, str(error))
        return self._poster.post(body, {"content-type": "application/json", **headers})

    def close(self) -> None:
        return
