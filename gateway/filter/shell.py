"""Ways out by shell: commands in arguments and answers that send, open, hide or wipe.

``shell.toml`` lists patterns of well-known commands. They see accidents and known tricks, not a determined author: a
tool that runs a shell belongs behind policy and approval.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.filter.threats import Threat

_FILE: Final = Path(__file__).with_name("shell.toml")


def _rules() -> tuple[tuple[Threat, re.Pattern[str]], ...]:
    listed = tomllib.loads(_FILE.read_text())
    secrets = f"(?:{'|'.join(listed['secrets'])})"
    return tuple(
        (
            Threat(rule["name"], rule["what"]),
            re.compile("|".join(rule["any"]).replace("%SECRETS%", secrets), re.IGNORECASE),
        )
        for rule in listed["rule"]
    )


_RULES: Final = _rules()


def shell(text: str) -> Iterator[Threat]:
    """Commands that send, open, hide or wipe."""
    yield from (threat for threat, pattern in _RULES if pattern.search(text))
