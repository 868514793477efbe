"""Signals of a prompt injection in content that comes from outside: web pages, tickets, files, tool results.

A score between 0 and 1, for audit, and for a hold where the settings say so. It is telemetry, not a boundary: who
knows the list can write around it, and a text about injections looks like one. Each signal counts once:
``1 - product(1 - weight)``.
"""

from __future__ import annotations

import codecs
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.dresses import decoded, plain


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
    r"|^[^\S\n]*#{2,}\s*(?:system|instructions?|assistant|user)\b\s*:?\s*$"
    r"|^[^\S\n]*(?:system|assistant|developer)\s*:\s"
    r"|</?(?:system|instructions?|tool_call|function_call|tool_result|assistant)\b[^>]{0,500}>"
    r"|\"role\"\s*:\s*\"(?:system|assistant|developer)\"|\"type\"\s*:\s*\"tool_use\""
    r"|<\|[A-Z_]{4,40}_TOKEN\|>|</?(?:start|end)_of_turn>|<\uff5c\w{1,30}\uff5c>|</?important>"
    r"|\[/?(?:SYSTEM|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS)\]|<(?:antml:)?(?:function_calls|invoke)\b",
    re.IGNORECASE | re.MULTILINE,
)
_HIDDEN_HTML: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*(?:0(?![.\d])|[01](?:\.\d+)?p[xt]\b)"
    r"|opacity\s*:\s*0(?:\.0+)?\b|color\s*:\s*(?:white|#fff(?:fff)?|rgb\(\s*255\s*,\s*255\s*,\s*255\s*\))"
    r"|aria-hidden\s*=\s*[\"']?true|(?:left|top|text-indent)\s*:\s*-\d{3,}|<\w+[^>]{0,200}\shidden[\s>=]|<template\b",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"<!--(.{0,1000}?)-->", re.DOTALL)
_SPACED: Final = re.compile(r"(?<=\b\w)[ .\-_*](?=\w\b)")
_GLUED: Final = re.compile(
    r"\b[^\W_]{1,40}(?:[_.+\-*/|]{1,3}[^\W_]{1,40}){3,}|\b[A-Za-z][a-z]{1,40}(?:[A-Z][a-z]{1,40}){3,}"
)
_GLUE: Final = re.compile(r"[_.+\-*/|]+|(?<=[a-z])(?=[A-Z])")
_HIDDEN: Final = tuple(
    (Signal(f"hidden.{name}", weight), re.compile(pattern))
    for name, weight, pattern in (
        ("tags", 0.9, "[\U000e0000-\U000e007f]"),
        (
            "zero_width",
            0.5,
            "(?:[A-Za-z]%s+(?=[A-Za-z]).*?){3}|%s{8}".replace("%s", "[\u200b-\u200f\u2060-\u2064\ufeff\u180e]"),
        ),
        ("bidi", 0.3, "[\u202a-\u202e]"),
        ("selectors", 0.6, "[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2}"),
    )
)
"""Those between letters of ours, or many: emoji and other scripts have some of their own."""
_FLAG: Final = re.compile("\U0001f3f4[\U000e0061-\U000e007a]{2,6}\U000e007f")
"""Of a part of a country, spelled in tags."""
_MAX_CHARS: Final = 200_000
_LETTERS: Final = str.maketrans("013457@$", "oieastas")


def signals(text: str) -> list[Signal]:
    """The signals in a text; of what is longer than 200,000 characters, those of its two ends."""
    if len(text) > _MAX_CHARS:
        text = text[: _MAX_CHARS // 2] + "\n" + text[-_MAX_CHARS // 2 :]
    found = [*_hidden_characters(text), *_markup(text), *_orders(_joined(text))]
    if any(signal not in found for inner in _dressed(text, plain(text)) for signal in _orders(_joined(inner))):
        found.append(Signal("encoded", 0.8))
    return list({signal.name: signal for signal in found}.values())


def score(found: list[Signal]) -> float:
    """How sure, 0 to 1."""
    return round(1 - math.prod(1 - signal.weight for signal in found), 4)


def _orders(text: str) -> Iterator[Signal]:
    yield from (signal for signal, pattern in _ORDERS if pattern.search(text))


def _joined(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _hidden_characters(text: str) -> Iterator[Signal]:
    if not text.isascii():
        shown = _FLAG.sub("", text)
        yield from (signal for signal, pattern in _HIDDEN if pattern.search(shown))


def _markup(text: str) -> Iterator[Signal]:
    if _MARKERS.search(text):
        yield Signal("markers", 0.6)
    if _HIDDEN_HTML.search(text):
        yield Signal("hidden.html", 0.2)
    if any(any(True for _ in _orders(_joined(comment))) for comment in _COMMENT.findall(text)):
        yield Signal("hidden.comment", 0.6)


def _dressed(text: str, shown: str) -> Iterator[str]:
    """What it says in another dress."""
    if shown != text:
        yield shown
    yield from decoded(shown)
    yield _SPACED.sub("", shown)
    yield from (_GLUE.sub(" ", word) for word in _GLUED.findall(shown))
    yield codecs.decode(shown, "rot13")
    yield shown[::-1]
    yield shown.translate(_LETTERS)
