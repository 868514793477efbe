"""What stands next to a value, or between its groups, and is none of its letters: escapes, emphasis, scripts without
blanks, dots; and letters and blanks that only look like ours.

Expressions for values end at the ends of words. A line break that JSON inside a text writes as ``\\n`` makes the ``n``
and the digits behind it one word; so do Chinese letters, and the ``_`` of Markdown. A second look takes these away.
"""

from __future__ import annotations

import re
from typing import Final

_GLUE: Final = re.compile(
    r"\\+(?:[nrtbfv]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[0-3][0-7]{2})?"  # escapes, also of texts inside texts in texts
    r"|(?<![A-Za-z0-9_])_+(?=[A-Za-z0-9+(])|(?<=[A-Za-z0-9)])_+(?![A-Za-z0-9_])"  # emphasis
    r"|[^\x00-\u02ff\u2010-\u2015]+"  # scripts that are not Latin
    r"|(?<=[0-9])[^\W0-9_a-zA-Z]+|[^\W0-9_a-zA-Z]+(?=[0-9])"  # any letter at a number
)


_CARD: Final = re.compile(r"(?<![0-9])[0-9]{4}(?:[._/][0-9]{4}){2}[._/][0-9]{3,4}(?![0-9])")
_SEPARATORS: Final = dict.fromkeys(map(ord, "._/"), " ")
_WIDE: Final = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
"""Letters, digits and signs as wide as Chinese ones."""
_GAPS: Final = dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
_HYPHENS: Final = dict.fromkeys((0xAD, *range(0x2010, 0x2016), 0x2212), "-")
_PLAIN: Final[dict[int, int | str]] = {**_WIDE, **_GAPS, **_HYPHENS}


def apart(text: str) -> str:
    """The text with blanks in the place of all that, each character where it was."""
    if text.isascii():
        if "\\" not in text and "_" not in text and "." not in text and "/" not in text:
            return text
    else:
        text = text.translate(_PLAIN)
    grouped = _CARD.sub(lambda card: card[0].translate(_SEPARATORS), text)
    return _GLUE.sub(lambda glue: " " * len(glue[0]), grouped)
