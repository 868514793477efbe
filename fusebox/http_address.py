"""Addresses that something is posted to, as ``http.client`` wants them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def is_speakable(url: str) -> bool:
    """True for what can stand in a request as it is: ASCII without blanks, and a port that there can be."""
    try:
        return url.isascii() and url.isprintable() and " " not in url and urlsplit(url).port != 0
    except ValueError:  # a port that is none
        return False


def target_of(url: SplitResult) -> str:
    """What is asked for at the host: path and query."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")
