"""Where RabbitMQ is, and what its refusals mean in a sentence that names the fix. Passwords never appear in one."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import pika
from pika import exceptions

from fusebox.errors import BrokerUnavailable, ConfigError, FuseboxError

_HEARTBEAT_S: Final = 10
"""A dead peer is noticed after 5 s more than this. ``?heartbeat=…`` in the URL overrides it."""
_CONNECT_S: Final = 4.0
_HANDSHAKE_S: Final = 6.0
_NOT_FOUND: Final = 404
_LOCKED: Final = 405
_CONFLICT: Final = 406
_ACCESS_REFUSED: Final = 403


class Address:
    """A parsed ``amqp://`` or ``amqps://`` URL.

    Raises:
        ConfigError: it is not one; the text does not repeat it, because it may hold a password.
    """

    def __init__(self, url: str) -> None:
        try:
            if urlsplit(url).scheme not in ("amqp", "amqps"):
                raise ValueError("scheme")
            self._parameters = pika.URLParameters(url)
        except (ValueError, TypeError, AttributeError):
            raise ConfigError(
                "the AMQP URL cannot be read; write it as amqp://user:password@host:5672/%2F (FUSEBOX_AMQP_URL)"
            ) from None
        self._url = url

    def __str__(self) -> str:
        return f"{self._parameters.host}:{self._parameters.port}"

    @property
    def user(self) -> str:
        """The user we connect as."""
        return str(self._parameters.credentials.username)

    def parameters(self, connection_name: str) -> Any:
        """Fresh pika parameters for one connection."""
        parameters = pika.URLParameters(self._url)
        if parameters.heartbeat is None:
            parameters.heartbeat = _HEARTBEAT_S
        parameters.connection_attempts = 1
        parameters.socket_timeout = _CONNECT_S
        parameters.stack_timeout = _HANDSHAKE_S
        parameters.client_properties = {"product": "Fusebox", "connection_name": connection_name}
        return parameters

    def unavailable(self, error: BaseException | None) -> BrokerUnavailable:
        """Why there is no connection, and what to do about it."""
        root, vhost = _root(error), self._parameters.virtual_host
        if isinstance(root, exceptions.AuthenticationError | exceptions.ProbableAuthenticationError):
            return BrokerUnavailable(
                f"RabbitMQ at {self} refused user {self.user!r} or the password; correct FUSEBOX_AMQP_URL"
            )
        if isinstance(root, exceptions.ProbableAccessDeniedError):
            return BrokerUnavailable(
                f"RabbitMQ at {self} refused virtual host {vhost!r} to user {self.user!r}; "
                "create it (rabbitmqctl add_vhost, set_permissions) or correct FUSEBOX_AMQP_URL"
            )
        if isinstance(root, exceptions.IncompatibleProtocolError):
            return BrokerUnavailable(f"what listens at {self} does not speak AMQP 0-9-1; correct FUSEBOX_AMQP_URL")
        return BrokerUnavailable(
            f"no RabbitMQ answers at {self} ({type(root).__name__}); start one (rabbitmq-server), correct "
            "FUSEBOX_AMQP_URL, or leave it unset to use the in-process broker"
        )


def refusal(error: BaseException) -> FuseboxError:
    """What the broker meant by closing a channel."""
    code, text = getattr(error, "reply_code", 0), getattr(error, "reply_text", "")
    if code == _CONFLICT:
        return ConfigError(f"RabbitMQ has it with other settings: {text}; delete the old one or use its settings")
    if code == _LOCKED:
        return ConfigError(f"another connection owns it: {text}; give each process its own name")
    if code == _NOT_FOUND:
        return ConfigError(f"it does not exist: {text}; declare it first")
    if code == _ACCESS_REFUSED:
        return ConfigError(f"the user lacks a permission: {text}; see rabbitmqctl set_permissions")
    return BrokerUnavailable(f"RabbitMQ ended the call: {text or type(error).__name__}; try again")


def not_found(error: BaseException) -> bool:
    """True when a queue or exchange does not exist."""
    return getattr(error, "reply_code", 0) == _NOT_FOUND


def _root(error: BaseException | None) -> BaseException | None:
    """The cause inside the wrappers of pika's connection workflow."""
    if isinstance(error, exceptions.AMQPConnectionError) and error.args and isinstance(error.args[0], BaseException):
        return _root(error.args[0])
    inner = getattr(error, "exceptions", None)
    cause = inner[-1] if inner else getattr(error, "exception", None)
    return error if cause is None else _root(cause)
