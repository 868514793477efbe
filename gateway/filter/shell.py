"""Ways out by shell: commands in arguments and answers that send, open, hide or wipe.

``shell.toml`` lists patterns of well-known commands. They see accidents and known tricks, not a determined author: a
tool that runs a shell belongs behind policy and approval.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.filter.threats import Threat

_FILE: Final = Path(__file__).with_name("shell.toml")
_WORD: Final = re.compile(r"%(\w+)%")

_UNSEEN: Final = re.compile(r"\\\n|\$\{?IFS\}?")
"""What a shell reads as a blank."""
_NOTHING: Final = re.compile(r"(?<=\w)(?:''|\"\"|\\)(?=\w)|(?<=\w)(?:''|\"\")$")
"""What it reads over, inside a word."""


@dataclass(frozen=True, slots=True)
class _Rule:
    threat: Threat
    hints: tuple[str, ...]
    """In lower case; the expression runs only where one of them is."""
    expression: re.Pattern[str]
    strange: bool
    """True for one that only counts where the text is to be run and names no known host."""


def _rules() -> tuple[_Rule, ...]:
    listed = tomllib.loads(_FILE.read_text())
    words = {name: f"(?:{'|'.join(any_)})" for name, any_ in listed["words"].items()}
    return tuple(
        _Rule(
            Threat(rule["name"], rule["what"]),
            tuple(rule["hints"]),
            re.compile(_WORD.sub(lambda word: words[word[1]], "|".join(rule["any"])), re.IGNORECASE | re.MULTILINE),
            rule.get("strange", False),
        )
        for rule in listed["rule"]
    )


_RULES: Final = _rules()


def shell(text: str, *, strange: bool = False) -> Iterator[Threat]:
    """Commands that send, open, hide or wipe, as they are written and as a shell reads them.

    Args:
        strange: True for what a tool may run and that names no known host.
    """
    readings = {text, _NOTHING.sub("", _UNSEEN.sub(" ", text))}
    lower = "\n".join(readings).lower()
    for rule in _RULES:
        if rule.strange and not strange:
            continue
        if any(hint in lower for hint in rule.hints) and any(map(rule.expression.search, readings)):
            yield rule.threat
