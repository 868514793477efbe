"""What stands next to a value without a blank, and is none of its letters: escapes, emphasis, scripts without blanks.

Expressions for values end at the ends of words. A line break that JSON inside a text writes as ``\\n`` makes the ``n``
and the digits behind it one word; so do Chinese letters, and the ``_`` of Markdown. A second look takes these away.
"""

from __future__ import annotations

import re
from typing import Final

_GLUE: Final = re.compile(
    r"\\+(?:[nrtbfv]|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2})?"  # escapes, also of texts inside texts inside texts
    r"|(?<![A-Za-z0-9_])_+(?=[A-Za-z0-9+(])|(?<=[A-Za-z0-9)])_+(?![A-Za-z0-9_])"  # emphasis
    r"|[^\x00-\u02ff\u2010-\u2015]+"  # scripts that are not Latin
    r"|(?<=[0-9])[^\W0-9_a-zA-Z]+|[^\W0-9_a-zA-Z]+(?=[0-9])"  # any letter at a number
)


def apart(text: str) -> str:
    """The text with blanks in the place of all that, each character where it was."""
    if text.isascii() and "\\" not in text and "_" not in text:
        return text
    return _GLUE.sub(lambda glue: " " * len(glue[0]), text)
