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

from gateway.filter.links import known
from gateway.filter.threats import Threat

_FILE: Final = Path(__file__).with_name("shell.toml")
_WORD: Final = re.compile(r"%(\w+)%")
_MAILED: Final = re.compile(r"@([\w.\-]+)")

_UNSEEN: Final = re.compile(r"\\\n|\$\{?IFS\}?")
"""What a shell reads as a blank."""
_NOTHING: Final = re.compile(r"(?<=\w)(?:''|\"\"|\\)(?=\w)|(?<=\w)(?:''|\"\")$")
"""What it reads over, inside a word."""


@dataclass(frozen=True, slots=True)
class _Rule:
    threat: Threat
    hints: tuple[str, ...]
    """In lower case; the expression runs only where one of them is."""
    expressions: tuple[re.Pattern[str], ...]
    strange: bool
    """True for one that only counts where the text is to be run and names no known host."""

    def fits(self, text: str, hosts: tuple[str, ...]) -> bool:
        """True for a command of its kind, but for one that sends to known hosts only, and says so."""
        found = (match for each in self.expressions for match in each.finditer(text))
        return any(not known(f"//{host}", hosts) for match in found for host in _hosts(match))


def _hosts(match: re.Match[str]) -> list[str]:
    """Of all to whom a mail goes, or the one that a command names; an empty one where it names none."""
    to = match.groupdict().get("to") or ""
    return _MAILED.findall(to) or [to]


def _rules() -> tuple[_Rule, ...]:
    listed = tomllib.loads(_FILE.read_text())
    words = {name: f"(?:{'|'.join(any_)})" for name, any_ in listed["words"].items()}
    return tuple(
        _Rule(
            Threat(rule["name"], rule["what"]),
            tuple(rule["hints"]),
            tuple(_compiled(each, words) for each in rule["any"]),
            rule.get("strange", False),
        )
        for rule in listed["rule"]
    )


def _compiled(expression: str, words: dict[str, str]) -> re.Pattern[str]:
    return re.compile(_WORD.sub(lambda word: words[word[1]], expression), re.IGNORECASE | re.MULTILINE)


_RULES: Final = _rules()


def shell(text: str, *, strange: bool = False, hosts: tuple[str, ...] = ()) -> Iterator[Threat]:
    """Commands that send, open, hide or wipe, as they are written and as a shell reads them.

    Args:
        strange: True for what a tool may run and whose links, if any, lead to no known host.
        hosts: known ones.
    """
    readings = {text, _NOTHING.sub("", _UNSEEN.sub(" ", text))}
    lower = "\n".join(readings).lower()
    for rule in _RULES:
        if rule.strange and not strange:
            continue
        if any(hint in lower for hint in rule.hints) and any(rule.fits(each, hosts) for each in readings):
            yield rule.threat
