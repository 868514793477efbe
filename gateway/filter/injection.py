"""Signals of a prompt injection in content that comes from outside: web pages, tickets, files, tool results.

A score between 0 and 1, for audit, and for a hold where the settings say so. It is telemetry, not a boundary: who
knows the list can write around it, and a text about injections looks like one. Each signal counts once:
``1 - product(1 - weight)``.
"""

from __future__ import annotations

import base64
import codecs
import math
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that instructions to a model have and other content seldom has."""

    name: str
    weight: float


_ORDERS: Final = tuple(
    (Signal(order["name"], order["weight"]), re.compile("|".join(order["any"]), re.IGNORECASE))
    for order in tomllib.loads(Path(__file__).with_name("injection.toml").read_text())["signal"]
)
_MARKERS: Final = re.compile(
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]|<</?SYS>>"
    r"|^\s*#{2,}\s*(?:system|instructions?|assistant|user)\b\s*:?\s*$|^\s*(?:system|assistant|developer)\s*:\s"
    r"|</?(?:system|instructions?|tool_call|function_call|tool_result|assistant)\b[^>]{0,500}>"
    r"|\"role\"\s*:\s*\"(?:system|assistant|developer)\"",
    re.IGNORECASE | re.MULTILINE,
)
_HIDDEN_HTML: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?:\.0+)?\b"
    r"|color\s*:\s*(?:white|#fff(?:fff)?)\b|aria-hidden\s*=\s*[\"']?true",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"<!--(.{0,1000}?)-->", re.DOTALL)
_ENCODED: Final = re.compile(r"(?:[A-Za-z0-9+/]{4}){6,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_HEX: Final = re.compile(r"(?:(?:\\x|%|0x)?[0-9A-Fa-f]{2}[ ,]?){20,}")
_SPACED: Final = re.compile(r"(?:\b\w[ .\-_*]){6,}\w\b")
_ZERO_WIDTH: Final = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u2061\u2062\u2063\u2064")
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MAX_CHARS: Final = 200_000
_LETTERS: Final = str.maketrans("013457@$", "oieastas")


def signals(text: str) -> list[Signal]:
    """The signals in a text; of what is longer than 200,000 characters, those of its two ends."""
    if len(text) > _MAX_CHARS:
        text = text[: _MAX_CHARS // 2] + "\n" + text[-_MAX_CHARS // 2 :]
    found = [*_hidden_characters(text), *_markup(text), *_orders(_plain(text))]
    for inner in _decoded(text):
        if any(True for _ in _orders(_plain(inner))):
            found.append(Signal("encoded", 0.8))
            break
    return list({signal.name: signal for signal in found}.values())


def score(found: list[Signal]) -> float:
    """How sure, 0 to 1."""
    return round(1 - math.prod(1 - signal.weight for signal in found), 4)


def _orders(text: str) -> Iterator[Signal]:
    yield from (signal for signal, pattern in _ORDERS if pattern.search(text))


def _plain(text: str) -> str:
    """Compatibility forms folded, invisible characters dropped, blanks joined: tricks that a model reads through."""
    folded = unicodedata.normalize("NFKC", text)
    visible = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    return re.sub(r"\s+", " ", visible)


def _hidden_characters(text: str) -> Iterator[Signal]:
    if any(0xE0000 <= ord(c) <= 0xE007F for c in text):
        yield Signal("hidden.tags", 0.9)
    if sum(c in _ZERO_WIDTH for c in text) >= 3:
        yield Signal("hidden.zero_width", 0.5)
    if any(c in _BIDI for c in text):
        yield Signal("hidden.bidi", 0.3)
    if sum(0xFE00 <= ord(c) <= 0xFE0F or 0xE0100 <= ord(c) <= 0xE01EF for c in text) >= 8:
        yield Signal("hidden.selectors", 0.6)


def _markup(text: str) -> Iterator[Signal]:
    if _MARKERS.search(text):
        yield Signal("markers", 0.6)
    if _HIDDEN_HTML.search(text):
        yield Signal("hidden.html", 0.4)
    if any(any(True for _ in _orders(_plain(comment))) for comment in _COMMENT.findall(text)):
        yield Signal("hidden.comment", 0.6)


def _decoded(text: str) -> Iterator[str]:
    for word in _ENCODED.findall(text):
        try:
            yield base64.b64decode(word).decode("utf-8")
        except ValueError:
            continue
    for run in _HEX.findall(text):
        digits = re.sub(r"\\x|%|0x|[ ,]", "", run)
        yield bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("latin-1")
    for spaced in _SPACED.findall(text):
        yield re.sub(r"[ .\-_*]", "", spaced)
    tags = "".join(chr(ord(c) - 0xE0000) for c in text if 0xE0020 <= ord(c) <= 0xE007E)
    if tags:
        yield tags
    yield codecs.decode(text, "rot13")
    yield text[::-1]
    yield text.translate(_LETTERS)
