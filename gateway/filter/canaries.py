"""Canaries: words that stand in what an agent reads, and in nothing that it has a reason to say.

A canary is ``cnry-`` and 16 letters of an HMAC over tenant, agent and workflow. Put into a system prompt or beside
records, it shows in an output when the context itself is carried out. It is looked for as it is, with other case or
signs between its letters, backwards, in halves, in rot13, and in all that :mod:`gateway.dresses` reads.
"""

from __future__ import annotations

import base64
import codecs
import hmac
import re
from collections.abc import Iterator
from typing import Final

from gateway.dresses import decoded, plain

_MARK: Final = "cnry-"
_LETTERS: Final = 16
_HALF: Final = 8
_SIGNS: Final = re.compile(r"[\W_]+")


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
        """True when one of the planted canaries, or half of one, is in a text, in whatever dress."""
        wanted = {half for canary in planted for half in _halves(_letters(canary.removeprefix(_MARK)))}
        shown = plain(text)
        letters = map(_letters, (shown, *decoded(shown)))
        return any(half in said for said in letters for half in wanted)


def _halves(word: str) -> Iterator[str]:
    """All of them, in whatever direction: who parts a word in two leaves one whole."""
    for written in (word, codecs.encode(word, "rot13")):
        halves = [written[at : at + _HALF] for at in range(len(written) - _HALF + 1)]
        yield from (*halves, *(half[::-1] for half in halves))


def _letters(text: str) -> str:
    return _SIGNS.sub("", text.casefold())
