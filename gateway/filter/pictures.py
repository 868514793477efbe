"""Where Markdown shows a picture: its address is fetched as soon as the text is on a screen.

Screens differ in how they read brackets: escaped ones, those in code or in a tag, those beside one that has no end. A
parser knows one reading, and needs the whole text for it, while of a stream a part is at hand. So a bracket that is
closed for certain is what it is, and one in doubt is taken for an image's where an image may still be open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_LABEL: Final = r"((?:[^\[\]\\]|\\.){0,999})"
_TOKEN: Final = re.compile(r"(?P<doubt>\\[\[\]\\`<>]|[`<>])|!?\[|\]")
_ADDRESS: Final = re.compile(r"\]\(\s*(?:<([^>\n]{1,2000})|([^\s)]{1,2000}))")
_NAMED: Final = re.compile(rf"\]\[{_LABEL}\]", re.DOTALL)
_BY_ITSELF: Final = re.compile(rf"!\[{_LABEL}\]", re.DOTALL)
_DEFINED: Final = re.compile(rf"\[{_LABEL}\]:[<\s]*([^\s>]{{1,2000}})", re.DOTALL)


class Pictures:
    """Those of one text, or of the pieces of one stream: an image and what its name stands for may lie far apart."""

    def __init__(self) -> None:
        self._shown: set[str] = set()
        self._defined: dict[str, set[str]] = {}

    def addresses(self, text: str) -> Iterator[str]:
        """Addresses of images in ``text``, as they are written; with those that it completes in earlier pieces."""
        shown = {_name(label) for label in _BY_ITSELF.findall(text)}
        for end in _ends(text):
            if address := _ADDRESS.match(text, end):
                yield address[1] or address[2]
            elif named := _NAMED.match(text, end):
                shown.add(_name(named[1]))
        defined = [(_name(label), address) for label, address in _DEFINED.findall(text)]
        for name, address in defined:
            self._defined.setdefault(name, set()).add(address)
        self._shown |= shown
        for name in shown.union(name for name, _ in defined if name in self._shown):
            yield from self._defined.get(name, ())


def image_open(text: str) -> bool:
    """True when what follows ``text`` may be the rest of an image."""
    opened = _Opened()
    for token in _tokens(text):
        opened.take(token)
    return any(opened.images)


def _ends(text: str) -> Iterator[int]:
    """Where the brackets end that may be an image's."""
    opened = _Opened()
    for token in _tokens(text):
        if opened.take(token):
            yield token.start()


def _tokens(text: str) -> Iterator[re.Match[str]]:
    return _TOKEN.finditer(text, text.find("![") if "![" in text else len(text))


class _Opened:
    """The brackets that are open, the last one behind."""

    def __init__(self) -> None:
        self.images: list[bool] = []
        self._doubted = 0
        """So many of them have had something in doubt behind them."""
        self._in_doubt = 0
        """So many of those are images."""

    def take(self, token: re.Match[str]) -> bool:
        """True for a closing bracket that may be an image's."""
        if token["doubt"]:
            self._in_doubt += sum(self.images[self._doubted :])
            self._doubted = len(self.images)
        elif token[0] != "]":
            self.images.append(token[0] == "![")
        elif len(self.images) > self._doubted:
            return self.images.pop()
        else:
            return self._in_doubt > 0
        return False


def _name(label: str) -> str:
    return " ".join(label.split()).casefold()
