"""Where alerts go: a log file, and a webhook.

A sink says what became of an attempt; it never raises. The webhook follows Standard Webhooks: 2xx is delivered, 410
disables the sink, anything else (a redirect too) is tried again. It speaks only to public addresses unless told
otherwise: the name is resolved once, every address it has must be allowed, and the connection goes to the address
that was checked.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from collector.alerts.alert import Alert
from fusebox.clock import Clock
from fusebox.errors import ConfigError
from fusebox.version import __version__
from fusebox.webhooks import key_of, signed_headers

TIMEOUT_S: Final = 15.0
_MAX_ANSWER: Final = 65_536
_GONE: Final = 410
_BUSY: Final = (408, 425, 429)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Fate(StrEnum):
    """What became of an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """The receiver is away or busy."""
    REFUSED = "refused"
    """The receiver is there and did not want this alert; it is tried again."""
    GONE = "gone"
    """The receiver wants no more alerts, ever."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An attempt's fate; ``after`` is how long (seconds) the receiver asked to be left alone."""

    fate: Fate
    detail: str = ""
    after: float = 0.0


class Sink(Protocol):
    """One destination."""

    name: str

    def deliver(self, alert: Alert) -> Outcome:
        """Try once; may take as long as its timeout."""


class LogSink:
    """Appends each alert as one line of JSON to a file, durably."""

    name = "log"

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, alert: Alert) -> Outcome:
        line = json.dumps({"id": alert.id, **alert.json()}) + "\n"
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return Outcome(Fate.RETRY, str(error))
        return Outcome(Fate.DELIVERED)


class WebhookSink:
    """Posts each alert, signed.

    Args:
        url: http or https.
        secret: ``whsec_…``.
        private: allow addresses that are not public.

    Raises:
        ConfigError: the address or the secret is none.
    """

    name = "webhook"

    def __init__(
        self, url: str, secret: str, clock: Clock, *, private: bool = False, timeout: float = TIMEOUT_S
    ) -> None:
        self._url = urlsplit(url)
        if self._url.scheme not in ("http", "https") or not self._url.hostname or self._url.username:
            raise ConfigError(f"alert_webhook_url: {url!r} is not an http(s) address without a user")
        key_of(secret)
        self._secret, self._clock, self._private, self._timeout = secret, clock, private, timeout

    def deliver(self, alert: Alert) -> Outcome:
        body = json.dumps(alert.json()).encode()
        try:
            headers = signed_headers(self._secret, alert.id, int(self._clock.wall()), body)
        except ValueError as error:  # this alert's id cannot travel; the others can
            return Outcome(Fate.REFUSED, str(error))
        headers |= {"content-type": "application/json", "user-agent": f"fusebox/{__version__}"}
        try:
            return self._post(body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Outcome(Fate.RETRY, repr(error))

    def _post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        sock = _dial(self._url, self._timeout, private=self._private)
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=self._timeout)
        connection.sock = sock
        with _deadline(sock, self._timeout):
            try:
                connection.request("POST", _target(self._url), body, dict(headers) | {"host": _host(self._url)})
                response = connection.getresponse()
                response.read(_MAX_ANSWER)
                return _judge(response)
            finally:
                connection.close()


def _judge(response: http.client.HTTPResponse) -> Outcome:
    if 200 <= response.status < 300:
        return Outcome(Fate.DELIVERED, str(response.status))
    if response.status == _GONE:
        return Outcome(Fate.GONE, "the receiver answered 410")
    after = response.getheader("retry-after") or ""
    seconds = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0.0
    busy = response.status >= 500 or response.status in _BUSY
    return Outcome(Fate.RETRY if busy else Fate.REFUSED, f"the receiver answered {response.status}", seconds)


def _dial(url: SplitResult, timeout: float, *, private: bool) -> socket.socket:
    """A connection to an address that was checked, wrapped in TLS for https."""
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    refused = [] if private else [address for address in addresses if not is_public(address)]
    if refused:
        raise ValueError(f"{host} is {refused[0]}, not a public address; set alert_webhook_private = true to allow it")
    sock = socket.create_connection((addresses[0], port), timeout)
    if url.scheme == "http":
        return sock
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def is_public(address: str) -> bool:
    """True for an address of the public internet, looking through the ways IPv6 can spell an IPv4 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


@contextmanager
def _deadline(sock: socket.socket, seconds: float) -> Iterator[None]:
    """End a conversation that trickles: socket timeouts alone count from the last byte."""
    timer = threading.Timer(seconds, _cut, (sock,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # closed already
        return


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _host(url: SplitResult) -> str:
    return url.netloc
