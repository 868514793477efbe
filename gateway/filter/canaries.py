"""Canaries: words that stand in what an agent reads, and in nothing that it has a reason to say.

A canary is ``cnry-`` and 16 letters of an HMAC over tenant, agent and workflow. Put into a system prompt or beside
records, it shows in an output when the context itself is carried out. It is looked for as it is, with other case or
signs between its letters, backwards, in hex, in base64 and in URL encoding.
"""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final
from urllib.parse import unquote

_MARK: Final = "cnry-"
_LETTERS: Final = 16
_WORD: Final = re.compile(r"[A-Za-z0-9+/_\-]{16,}={0,2}")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:]?){16,}")


class Canaries:
    """Makes and recognises canaries.

    Args:
        key: secret of the gateway; without it nobody can tell a canary from any other word.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def plant(self, agent: str, workflow: str = "", tenant: str = "default") -> str:
        """The canary for a context: put it where the agent reads and should never quote."""
        digest = hmac.digest(self._key, "\0".join(("canary", tenant, agent, workflow)).encode(), "sha256")
        return _MARK + base64.b32encode(digest).decode().lower()[:_LETTERS]

    @staticmethod
    def seen(text: str, planted: tuple[str, ...]) -> bool:
        """True when one of the planted canaries is in a text, in whatever dress."""
        wanted = [_letters(canary.removeprefix(_MARK)) for canary in planted]
        return any(word in dressed for dressed in _dresses(text) for word in wanted)


def _dresses(text: str) -> tuple[str, ...]:
    plain = _letters(unquote(text))
    decoded = [_letters(each) for each in _decoded(text)]
    return plain, plain[::-1], *decoded


def _letters(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _decoded(text: str) -> list[str]:
    found = []
    for word in _WORD.findall(text):
        for skip in range(4):  # a canary may begin at any byte of what was encoded
            found.append(_base64(word[skip:]))
    for run in _HEX.findall(text):
        found.append(bytes.fromhex(re.sub(r"[\s:]", "", run)).decode("latin-1"))
    return found


def _base64(word: str) -> str:
    letters = word.rstrip("=").replace("-", "+").replace("_", "/")
    letters = letters[: len(letters) // 4 * 4 + (0 if len(letters) % 4 == 1 else len(letters) % 4)]
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4)).decode("latin-1")
    except ValueError:
        return ""
