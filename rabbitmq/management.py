"""RabbitMQ's management HTTP API: users, permissions, topology and connections, written idempotently.

Every call raises :class:`ConfigError` where RabbitMQ refuses it, :class:`BrokerUnavailable` where nobody answers.
"""

from __future__ import annotations

import base64
import http.client
import json
from contextlib import closing
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from fusebox.errors import BrokerUnavailable, ConfigError
from fusebox.http_address import connection_to, is_speakable
from fusebox.ports import address
from fusebox.tls import advised
from rabbitmq.amqp_wire import queue_arguments
from rabbitmq.broker import Topology
from rabbitmq.provision import Grant

_TIMEOUT_S: Final = 10.0
_LIMIT: Final = "max-connections"


class Management:
    """A client for ``http(s)://user:password@host:15672``.

    Args:
        url: where the management plugin listens; the user needs the tag ``administrator``.

    Raises:
        ConfigError: the URL cannot be read; the text does not repeat it, because it holds a password.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._host = address(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 15672))
        except ValueError:
            parts, self._host = urlsplit(""), ""
        base = f"{parts.scheme}://{self._host}{parts.path.rstrip('/')}/api/"
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username or not is_speakable(base):
            raise ConfigError("the management URL cannot be read; write it as https://user:password@host:15671")
        self._base = urlsplit(base)
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(secret.encode()).decode()
        self._headers = {"Authorization": authorization, "Content-Type": "application/json"}

    def permissions(self) -> list[dict[str, Any]]:
        """Every user's permissions in every virtual host."""
        return list(self._ask("GET", ("permissions",)))

    def topic_permissions(self) -> list[dict[str, Any]]:
        """Every user's topic permissions."""
        return list(self._ask("GET", ("topic-permissions",)))

    def users_of(self, vhost: str) -> list[str]:
        """Users with permissions in a virtual host."""
        return [str(each["user"]) for each in self.permissions() if each["vhost"] == vhost]

    def barred(self) -> frozenset[str]:
        """Users that may open no connection."""
        limits = self._ask("GET", ("user-limits",))
        return frozenset(str(each["user"]) for each in limits if each["value"].get(_LIMIT) == 0)

    def bar(self, user: str) -> None:
        """Let the user open no connection; those it has stay."""
        self._ask("PUT", ("user-limits", user, _LIMIT), {"value": 0})

    def free(self, user: str) -> None:
        """Take the user's limit of connections away."""
        self._ask("DELETE", ("user-limits", user, _LIMIT))

    def close_connections(self, user: str, reason: str) -> None:
        """Close every connection of the user; it is told the reason."""
        self._ask("DELETE", ("connections", "username", user), reason=reason)

    def declare(self, vhost: str, topology: Topology) -> None:
        """Make the virtual host, exchanges, queues and bindings exist; with other settings it is refused."""
        self._ask("PUT", ("vhosts", vhost), {})
        for exchange in topology.exchanges:
            self._ask("PUT", ("exchanges", vhost, exchange.name), {"type": exchange.type.value, "durable": True})
        for queue in topology.queues:
            body = {"durable": True, "arguments": queue_arguments(queue)}
            self._ask("PUT", ("queues", vhost, queue.name), body)
        for binding in topology.bindings:
            path = ("bindings", vhost, "e", binding.exchange, "q", binding.queue)
            self._ask("POST", path, {"routing_key": binding.key})

    def allow(self, vhost: str, grant: Grant, password: str) -> None:
        """Make the user exist with this password and exactly these permissions.

        Topic permissions come first: without one everything is allowed.
        """
        self._ask("PUT", ("users", grant.user), {"password": password, "tags": ""})
        for exchange, write in grant.topics.items():
            body = {"exchange": exchange, "write": write, "read": grant.configure}
            self._ask("PUT", ("topic-permissions", vhost, grant.user), body)
        body = {"configure": grant.configure, "write": grant.write, "read": grant.read}
        self._ask("PUT", ("permissions", vhost, grant.user), body)

    def _ask(self, method: str, path: tuple[str, ...], body: object = None, *, reason: str = "") -> Any:
        target = self._base.path + "/".join(quote(part, safe="") for part in path)
        data = None if body is None else json.dumps(body)
        try:
            with closing(connection_to(self._base, _TIMEOUT_S)) as connection:
                connection.request(method, target, data, self._headers | {"X-Reason": reason})
                answer = connection.getresponse()
                text = answer.read()
            if answer.status >= HTTPStatus.MULTIPLE_CHOICES:  # a redirect, too: it may lead the password elsewhere
                raise self._refusal(answer.status, text, "/".join(path))
            return json.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise BrokerUnavailable(
                f"no RabbitMQ management at {self._host} ({advised(str(error))}); enable it (rabbitmq-plugins enable "
                "rabbitmq_management) or correct the management URL"
            ) from None

    def _refusal(self, status: int, text: bytes, path: str) -> ConfigError:
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return ConfigError(
                f"RabbitMQ management at {self._host} refused the user or the password; it needs the tag administrator"
            )
        said = text[:500].decode("utf-8", "replace")
        return ConfigError(f"RabbitMQ management at {self._host} refused {path} ({status}): {said}")
