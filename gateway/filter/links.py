"""Ways out by URL: a link that a screen loads by itself, and hosts nobody named.

A Markdown or HTML image is fetched as soon as it is shown, with whatever stands in its address; so an image from an
unknown host is refused, a plain link only when it carries much or when the settings say so.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.filter.threats import Threat, Weight

_URL: Final = re.compile(r"(?:\b[a-z][a-z0-9+.\-]{1,15}:)?//[^\s<>\"'`\\|{}^)\]]+", re.IGNORECASE)
_IMAGE: Final = re.compile(
    r"!\[[^\]]{0,500}\]\(\s*<?([^\s)>]+)|<(?:img|image|iframe|embed|object|source|video|audio|link|script|input|track)\b[^>]{0,300}?"
    r"(?:src|href|data|srcset|poster)\s*=\s*[\"']?([^\s\"'>]+)|url\(\s*[\"']?([^\s\"')]+)|"
    r"<meta\b[^>]{0,2000}?url=([^\s\"'>]+)",
    re.IGNORECASE,
)
_REFERENCED: Final = re.compile(r"!\[[^\]]{0,500}\]\[([^\]]{0,500})\]|!\[([^\]]{1,500})\](?![(\[])")
_DEFINED: Final = re.compile(r"^[ \t]{0,3}\[([^\]]{1,500})\]:\s*<?(\S+?)>?(?:\s|$)", re.MULTILINE)
_CARRIES: Final = 200
"""Characters of path and query with which a link may carry something away."""

_SCRIPTS: Final = frozenset({"javascript", "vbscript", "data", "file"})


def links(text: str, hosts: tuple[str, ...], unknown: Weight) -> Iterator[Threat]:
    """Links that lead away.

    Args:
        hosts: known hosts; ``.example.com`` stands for all below it.
        unknown: what a plain link to an unknown host weighs.
    """
    loaded = set(_loaded(text))
    for url in loaded:
        if not _known(url, hosts):
            yield Threat("link.image", f"something that loads by itself from {_host(url)}")
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?")
        if url in loaded or _known(url, hosts):
            continue
        heavy = len(unquote(url)) - len(_host(url)) > _CARRIES
        yield Threat("link.unknown", f"a link to {_host(url)}", Weight.DENY if heavy else unknown)
    for scheme in re.findall(r"\]\(\s*<?(\w+):", text):
        if scheme.lower() in _SCRIPTS:
            yield Threat("link.script", f"a {scheme.lower()}: link")


def _loaded(text: str) -> Iterator[str]:
    """Addresses that are fetched when the text is shown."""
    for match in _IMAGE.finditer(text):
        yield from (url for url in match.groups() if url and (url.startswith("//") or not url.startswith(("#", "/"))))
    wanted = {(one or other).casefold() for one, other in _REFERENCED.findall(text)}
    if wanted:
        yield from (url for name, url in _DEFINED.findall(text) if name.casefold() in wanted)


def _known(url: str, hosts: tuple[str, ...]) -> bool:
    host = _host(url)
    return any(host == known or (known.startswith(".") and host.endswith(known)) for known in hosts)


def _host(url: str) -> str:
    """The host in lower case, or what stands in its place."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme.lower() in _SCRIPTS:
            return f"{parts.scheme.lower()}:"
    except ValueError:
        return "an address that cannot be read"
    try:
        return str(ipaddress.ip_address(int(host, 0) if re.fullmatch(r"0x[0-9a-f]+|\d{8,10}", host) else host))
    except ValueError:
        return host or "no host"
