"""One POST to an address that was checked.

The name is resolved once, every address it has must be allowed, and the connection goes to the first of them that takes
it. Only public addresses are allowed, and the networks that the configuration lists. Redirects are not followed, of an
answer 64 KiB are read, and a conversation that trickles ends at its deadline.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult

from collector.alerts.sinks import Fate, Outcome
from fusebox.deadline import deadline
from fusebox.errors import ConfigError
from fusebox.http_address import target_of, web_address
from fusebox.tls import advised
from fusebox.version import __version__

TIMEOUT_S: Final = 15.0
_MAX_ANSWER: Final = 65_536
_GONE: Final = 410
_BUSY: Final = (408, 425, 429)
_LONGEST_S: Final = 100_000.0
"""A receiver that wants to be left alone for longer is asked on our own schedule."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
EVERYWHERE: Final[tuple[Network, ...]] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


class Poster:
    """Posts to one address.

    Args:
        url: http or https.
        allowed: networks that are not public and may be spoken to nevertheless.
        timeout: seconds for a whole attempt after the name is resolved.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(self, url: str, allowed: Iterable[Network] = (), timeout: float = TIMEOUT_S) -> None:
        parts = web_address(url)
        if parts is None:
            raise ConfigError("the url is not an http(s) address without a user, spelled in ASCII (xn--…, %20)")
        self._url, self._allowed, self._timeout = parts, tuple(allowed), timeout

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """One attempt."""
        try:
            return self._post(body, {"user-agent": f"fusebox/{__version__}", "host": self._url.netloc, **headers})
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Outcome(Fate.RETRY, advised(str(error) or repr(error)))

    def _post(self, body: bytes, headers: dict[str, str]) -> Outcome:
        sock = _dial(self._url, self._timeout, self._allowed)
        connection = http.client.HTTPConnection(self._url.hostname or "", sock.getpeername()[1], timeout=self._timeout)
        connection.sock = sock
        with deadline(lambda: sock, self._timeout):
            try:
                connection.request("POST", target_of(self._url), body, headers)
                response = connection.getresponse()
                with suppress(OSError, http.client.HTTPException):  # the status counts, however the rest comes
                    response.read(_MAX_ANSWER)
                return _judge(response)
            finally:
                connection.close()


def _judge(response: http.client.HTTPResponse) -> Outcome:
    if 200 <= response.status < 300:
        return Outcome(Fate.DELIVERED, str(response.status))
    if response.status == _GONE:
        return Outcome(Fate.GONE, "the receiver answered 410")
    seconds = _after(response.getheader("retry-after") or "")
    busy = response.status >= 500 or response.status in _BUSY
    return Outcome(Fate.RETRY if busy else Fate.REFUSED, f"the receiver answered {response.status}", seconds)


def _after(told: str) -> float:
    """The seconds that a ``Retry-After`` asks for, by number or by date; 0 for what makes no sense, or is too long."""
    try:
        seconds = float(told) if told.isascii() and told.isdigit() else _until(told)
    except (ValueError, OverflowError):  # no date, or none that there can be
        return 0.0
    return seconds if 0.0 < seconds < _LONGEST_S else 0.0


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


def _dial(url: SplitResult, timeout: float, allowed: Iterable[Network]) -> socket.socket:
    """A connection to an address that was checked, wrapped in TLS for https."""
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    refused = [address for address in addresses if not (is_public(address) or is_within(address, allowed))]
    if refused:
        raise ValueError(f"{host} is {refused[0]}: not public; allow_networks (alert_webhook_private) would allow it")
    sock = _connected(addresses, port, timeout)
    sock.settimeout(timeout)
    if url.scheme == "http":
        return sock
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _connected(addresses: Sequence[str], port: int, timeout: float) -> socket.socket:
    """A connection to the first address that takes one; each has its share of the time."""
    *others, last = addresses
    share = timeout / len(addresses)
    for address in others:
        with suppress(OSError):
            return socket.create_connection((address, port), share)
    return socket.create_connection((last, port), share)


def is_public(address: str) -> bool:
    """True for an address of the public internet, looking through the ways IPv6 can spell an IPv4 address."""
    ip = _ip(address)
    return ip.is_global and not ip.is_multicast


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """True when one of the networks holds the address, however it is spelled."""
    ip = _ip(address)
    return any(ip.version == network.version and ip in network for network in networks)


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip
    return ip
