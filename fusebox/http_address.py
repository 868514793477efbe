"""Addresses that something is asked of, as ``http.client`` wants them."""

from __future__ import annotations

import http.client
from urllib.parse import SplitResult, urlsplit


def is_speakable(url: str) -> bool:
    """True for what can stand in a request as it is: ASCII without blanks, and a port that there can be."""
    try:
        return url.isascii() and url.isprintable() and " " not in url and urlsplit(url).port != 0
    except ValueError:  # a port that is none
        return False


def names_user(url: str) -> bool:
    """True where a user, or a password, stands before the host."""
    return "@" in url.partition("://")[2].partition("/")[0]


def web_address(url: str) -> SplitResult | None:
    """An http(s) address that names no user, and can stand in a request as it is; None for any other."""
    if not is_speakable(url) or names_user(url):
        return None
    parts = urlsplit(url)
    return parts if parts.scheme in ("http", "https") and parts.hostname else None


def target_of(url: SplitResult) -> str:
    """What is asked for at the host: path and query."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def connection_to(url: SplitResult, timeout: float) -> http.client.HTTPConnection:
    """A connection to the host, not open yet; over https it believes whom the machine believes.

    The port is always said: without one, http.client takes the end of an IPv6 address for it.
    """
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(url.hostname or "", url.port or kind.default_port, timeout=timeout)
