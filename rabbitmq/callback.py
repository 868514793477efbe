"""Handing a delivery to a consumer's callback, the same way in both brokers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from fusebox import happenings
from rabbitmq.broker import Delivery

CALLBACK_FAILED: Final = happenings.declare(
    "consumer_callback_failed", logging.ERROR, "a consumer's callback raised; its message stays unsettled"
)


def call_back(callback: Callable[[Delivery], None], delivery: Delivery) -> bool:
    """Hand a delivery over; False when the callback raised, which is counted: the I/O thread must go on."""
    try:
        callback(delivery)
    except Exception as error:
        happenings.emit(CALLBACK_FAILED, queue=delivery.queue, error=repr(error))
        return False
    return True
