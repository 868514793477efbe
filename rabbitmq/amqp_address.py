"""Where RabbitMQ is, and what its refusals mean in a sentence that names the fix. Passwords never appear in one."""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import pika
from pika import exceptions

from fusebox.errors import BrokerUnavailable, ConfigError, FuseboxError
from fusebox.ports import address
from fusebox.tls import client_context

_HEARTBEAT_S: Final = 10
"""A dead peer is noticed after 5 s more than this. ``?heartbeat=…`` in the URL overrides it."""
_CONNECT_S: Final = 4.0
_HANDSHAKE_S: Final = 6.0
_TLS_FILES: Final = ("cacertfile", "certfile", "keyfile")
_NOT_FOUND: Final = 404
_LOCKED: Final = 405
_CONFLICT: Final = 406
_ACCESS_REFUSED: Final = 403
_CONNECTION_LIMIT: Final = "connection limit"


class Address:
    """A parsed ``amqp://`` or ``amqps://`` URL.

    Raises:
        ConfigError: it is not one; the text does not repeat it, because it may hold a password.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("amqp", "amqps") or "/" in parts.path[1:]:  # pika takes what is before it
                raise ValueError("scheme or virtual host")
            self._url, self._files = _without_files(url)
            self._parameters = pika.URLParameters(self._url)
        except (ValueError, TypeError, AttributeError):
            raise ConfigError(
                "the AMQP URL cannot be read; write it as amqp://user:password@host:5672/%2F, or with certificates as "
                "amqps://user:password@host:5671/%2F?cacertfile=…&certfile=…&keyfile=…, and what is special in a user, "
                "a password or a virtual host (also /) as %XX (FUSEBOX_AMQP_URL)"
            ) from None
        self._tls_context()

    def __str__(self) -> str:
        return address(self._parameters.host, self._parameters.port)

    @property
    def user(self) -> str:
        """The user we connect as."""
        return str(self._parameters.credentials.username)

    @property
    def vhost(self) -> str:
        """The virtual host we connect to."""
        return str(self._parameters.virtual_host)

    def parameters(self, connection_name: str) -> Any:
        """Fresh pika parameters for one connection, with the certificates that the files hold by now.

        Raises:
            ConfigError: one of them cannot be used any more.
        """
        parameters = pika.URLParameters(self._url)
        if parameters.heartbeat is None:
            parameters.heartbeat = _HEARTBEAT_S
        context = self._tls_context()
        if context is not None:
            parameters.ssl_options = pika.SSLOptions(context, parameters.host)
        parameters.connection_attempts = 1
        parameters.socket_timeout = _CONNECT_S
        parameters.stack_timeout = _HANDSHAKE_S
        parameters.client_properties = {"product": "Fusebox", "connection_name": connection_name}
        return parameters

    def _tls_context(self) -> ssl.SSLContext | None:
        """What ``cacertfile``, ``certfile`` and ``keyfile`` of the URL say; None when it has none of them."""
        if not self._files:
            return None
        try:
            return client_context(*(self._files.get(name) for name in _TLS_FILES))
        except OSError as error:
            raise ConfigError(f"a certificate of the AMQP URL cannot be used ({error}); see {self._files}") from None

    def unavailable(self, error: BaseException | None) -> BrokerUnavailable:
        """Why there is no connection, and what to do about it."""
        root = _root(error)
        if isinstance(root, exceptions.AuthenticationError | exceptions.ProbableAuthenticationError):
            return BrokerUnavailable(
                f"RabbitMQ at {self} refused user {self.user!r} or the password; correct FUSEBOX_AMQP_URL"
            )
        if isinstance(root, exceptions.ProbableAccessDeniedError) and _CONNECTION_LIMIT in str(root):
            return BrokerUnavailable(
                f"RabbitMQ at {self} lets user {self.user!r} open no further connection; when its agent is killed, "
                "'fusebox resume' changes that, else raise the user's limit (rabbitmqctl set_user_limits)"
            )
        if isinstance(root, exceptions.ProbableAccessDeniedError):
            return BrokerUnavailable(
                f"RabbitMQ at {self} refused virtual host {self.vhost!r} to user {self.user!r}; "
                "create it (rabbitmqctl add_vhost, set_permissions) or correct FUSEBOX_AMQP_URL"
            )
        if isinstance(root, exceptions.IncompatibleProtocolError):
            return BrokerUnavailable(f"what listens at {self} does not speak AMQP 0-9-1; correct FUSEBOX_AMQP_URL")
        if isinstance(root, ssl.SSLError):
            return BrokerUnavailable(
                f"no TLS with RabbitMQ at {self} ({root}); correct cacertfile, certfile or keyfile in FUSEBOX_AMQP_URL"
            )
        return BrokerUnavailable(
            f"no RabbitMQ answers at {self} ({type(root).__name__}); start one (rabbitmq-server), correct "
            "FUSEBOX_AMQP_URL, or leave it unset to use the in-process broker"
        )


def _without_files(url: str) -> tuple[str, dict[str, str]]:
    """The URL as pika takes it, and the certificate files it named.

    Raises:
        ValueError: files without TLS, or a key without its certificate: neither must go unnoticed;
            or pika's own ``ssl_options``, which could turn the check of certificates off.
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    files = {name: value for name, value in query if name in _TLS_FILES}
    if files and (parts.scheme != "amqps" or ("keyfile" in files and "certfile" not in files)):
        raise ValueError("certificates")
    if any(name == "ssl_options" for name, _ in query):
        raise ValueError("ssl_options")
    rest = urlencode([each for each in query if each[0] not in _TLS_FILES])
    return parts._replace(query=rest).geturl(), files


def refusal(error: BaseException) -> FuseboxError:
    """What the broker meant by closing a channel."""
    code, text = getattr(error, "reply_code", 0), getattr(error, "reply_text", "")
    if code == _CONFLICT:
        return ConfigError(f"RabbitMQ has it with other settings: {text}; delete the old one or use its settings")
    if code == _LOCKED:
        return ConfigError(f"another connection owns it: {text}; give each process its own name")
    if code == _NOT_FOUND:
        return ConfigError(f"it does not exist: {text}; declare it first (fusebox rabbitmq provision)")
    if code == _ACCESS_REFUSED:
        return ConfigError(f"the user lacks a permission: {text}; see fusebox rabbitmq provision")
    return BrokerUnavailable(f"RabbitMQ ended the call: {text or type(error).__name__}; try again")


def forbidden(error: BaseException) -> bool:
    """True when the user lacks a permission."""
    return getattr(error, "reply_code", 0) == _ACCESS_REFUSED


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
