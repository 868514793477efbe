"""Ways out by URL: a link that a screen loads by itself, and hosts nobody named.

A Markdown or HTML image is fetched as soon as it is shown, with whatever stands in its address; so an image from an
unknown host is refused, a plain link only when it carries much or when the settings say so.
"""

from __future__ import annotations

import html
import ipaddress
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.filter.threats import Threat, Weight

_URL: Final = re.compile(r"(?:\b[a-z][a-z0-9+.\-]{1,15}:)?//[^\s<>\"'`\\|{}^)\]]+", re.IGNORECASE)
_IMAGE: Final = re.compile(r"!\[[^\]]{0,500}\]\(\s*(?:<([^>\n]{0,2000})>|([^\s)]+))")
_TAG: Final = re.compile(
    r"<(?:img|image|iframe|frame|embed|object|source|video|audio|link|script|input|track|body|table|td|base)\b"
    r"(?:[^>\"']|\"[^\"]{0,500}\"|'[^']{0,500}'){0,300}?"
    r"(?:src|href|data|srcset|poster|background)\s*=\s*(?:\"([^\"]{0,2000})\"|'([^']{0,2000})'|([^\s>]+))"
    r"|url\(\s*[\"']?([^\"')]{1,2000})|@import\s+[\"']([^\"']{1,2000})|<meta\b[^>]{0,300}?url=([^\s\"'>]+)",
    re.IGNORECASE,
)
_REFERENCED: Final = re.compile(r"!\[[^\]]{0,500}\]\[([^\]]{0,500})\]|!\[([^\]]{1,500})\](?![(\[])")
_DEFINED: Final = re.compile(r"^[ \t]{0,3}\[([^\]]{1,500})\]:\s*<?(\S+?)>?(?:\s|$)", re.MULTILINE)
_CARRIES: Final = 200
"""Characters of path and query with which a link may carry something away."""

_SCRIPTS: Final = frozenset({"javascript", "vbscript", "data", "file"})
_SCRIPT: Final = re.compile(
    r"(?:\]\(\s*<?|<[a-z][^<>]{0,300}?\b(?:href|src|action|data)\s*=\s*[\"']?\s*)(\w+):", re.IGNORECASE
)
_HANDLER: Final = re.compile(
    r"<[a-z][^<>]{0,300}?[\s/\"']on(?:load|error|begin|start|toggle|pageshow|animation\w{3,12})\s*=\s*[\"']?(?![\s{])",
    re.IGNORECASE,
)
"""What runs as soon as it is shown."""


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
    for scheme in {found.lower() for found in _SCRIPT.findall(text)} & _SCRIPTS:
        yield Threat("link.script", f"a {scheme}: link")
    if _HANDLER.search(text):
        yield Threat("link.script", "a script that runs as soon as it is shown")


def _loaded(text: str) -> Iterator[str]:
    """Addresses that are fetched when the text is shown; not those below the page's own."""
    wanted = {(one or other).casefold() for one, other in _REFERENCED.findall(text)}
    written = [*_IMAGE.findall(text), *_TAG.findall(text)]
    written += [(url,) for name, url in _DEFINED.findall(text) if name.casefold() in wanted]
    for url in (url for groups in written for url in groups if url):
        for part in {_as_read(url), *map(_as_read, re.split(r"[\s,]+", url))}:
            if "//" in part or re.match(r"[a-z][a-z0-9+.\-]*:", part, re.IGNORECASE):
                yield part


def _as_read(url: str) -> str:
    """An address as browsers read it: without entities, blanks and control characters, backslashes as slashes."""
    return re.sub(r"[\s\x00-\x1f]", "", html.unescape(url)).replace("\\", "/")


def _known(url: str, hosts: tuple[str, ...]) -> bool:
    host = _host(url)
    return any(host == known or (known.startswith(".") and host.endswith(known)) for known in hosts)


def _host(url: str) -> str:
    """The host in lower case, or what stands in its place."""
    url = url.replace("\\", "/")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme.lower() in _SCRIPTS:
            return f"{parts.scheme.lower()}:"
    except ValueError:
        return "an address that cannot be read"
    try:
        return str(ipaddress.ip_address(int(host, 0) if re.fullmatch(r"0x[0-9a-f]+|\d{8,10}", host) else host))
    except ValueError:
        return host or "no host"
