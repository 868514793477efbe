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

from gateway.filter.pictures import Pictures, image_open
from gateway.filter.tags import attributes, fetched, tag_open
from gateway.filter.threats import Threat, Weight

_URL: Final = re.compile(r"(?:\b[a-z][a-z0-9+.\-]{1,15}:)?//[^\s<>\"'`\\|{}^)\]]+", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\([!-/:-@\[-`{-~])")
_CARRIES: Final = 200
"""Characters of path and query with which a link may carry something away."""
_LONGEST: Final = 2000
"""Characters of an address that are looked at: the host of a longer one may stand behind them."""

_SCRIPTS: Final = frozenset({"javascript", "vbscript", "data", "file"})
_SCRIPT: Final = re.compile(r"\](?:\(|:)\s*<?([^\s()<>]{1,100})")
_SCHEME: Final = re.compile(r"(\w+):")
_LEADING: Final = ("href", "src", "action", "data")
"""How the names of attributes end whose addresses are followed."""
_HANDLER: Final = re.compile(r"(?:.*[\"'])?on(?:load|error|begin|start|toggle|pageshow|focus|animation\w{3,12})")
"""What runs as soon as it is shown."""


def links(text: str, hosts: tuple[str, ...], unknown: Weight, pictures: Pictures | None = None) -> Iterator[Threat]:
    """Links that lead away.

    Args:
        hosts: known hosts; ``.example.com`` stands for all below it.
        unknown: what a plain link to an unknown host weighs.
        pictures: of the stream that this is a piece of.
    """
    loaded = {part for url in _loaded(text, pictures or Pictures()) for part in _parts(url)}
    for url in loaded:
        if not known(url, hosts):
            yield Threat("link.image", f"something that loads by itself from {_host(url)}")
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:!?")
        if url in loaded or known(url, hosts):
            continue
        heavy = len(unquote(url)) - len(_host(url)) > _CARRIES
        yield Threat("link.unknown", f"a link to {_host(url)}", Weight.DENY if heavy else unknown)
    for scheme in sorted({found.lower() for found in _schemes(text)} & _SCRIPTS):
        yield Threat("link.script", f"a {scheme}: link")
    if any(value and _HANDLER.fullmatch(name) for name, value in attributes(text)):
        yield Threat("link.script", "a script that runs as soon as it is shown")


def _schemes(text: str) -> Iterator[str]:
    """Of addresses that are followed."""
    for address in _SCRIPT.findall(text):
        if found := _SCHEME.match(_as_read(address)):
            yield found[1]
    for name, value in attributes(text):
        if name.endswith(_LEADING) and (found := _SCHEME.match(_as_read(value))):
            yield found[1]


def left_open(text: str) -> str:
    """What stands for ``text`` where the rest of an image or a tag may follow; empty where none can."""
    begun = tag_open(text) + ("![`" if image_open(text) else "")  # the sign leaves in doubt what closes it
    return begun and begun + "\n"


def _loaded(text: str, pictures: Pictures) -> Iterator[str]:
    """What is fetched when the text is shown, as it is written."""
    yield from pictures.addresses(text)
    yield from fetched(text)


def _parts(url: str) -> Iterator[str]:
    """The addresses in it, by every reading; not those below the page's own."""
    for one in (url, *re.split(r"[\s,]+", url)):
        for part in (_as_read(one), _as_read(_ESCAPE.sub(r"\1", one))):  # not every screen knows the escape
            if "//" in part or re.match(r"[a-z][a-z0-9+.\-]*:", part, re.IGNORECASE):
                yield part if len(one) < _LONGEST else "//an address that is too long"


def _as_read(url: str) -> str:
    """An address as browsers read it: without entities, blanks and control characters, backslashes as slashes."""
    return re.sub(r"[\s\x00-\x1f]", "", html.unescape(url)).replace("\\", "/")


def known(url: str, hosts: tuple[str, ...]) -> bool:
    """True when a link leads to one of the hosts."""
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
