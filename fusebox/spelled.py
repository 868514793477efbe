"""Text that somebody else chose, for a person to read: what could hide in it is written out.

A character that shows nothing, or turns around what stands beside it, is shown as its number: ``\\u202e``,
``\\U000e0041``.
"""

from __future__ import annotations

import json
from typing import Final

_UNSEEN: Final = frozenset(
    map(
        chr,
        (
            0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10),
            0xFFA0, *range(0xE0100, 0xE01F0),
        ),
    )
)  # fmt: skip
"""Letters and marks that nobody sees (Unicode: Default_Ignorable_Code_Point, and the empty Braille cell); Python calls
them printable."""
_WIDEST: Final = 0xFFFF


def spelled(text: str) -> str:
    """``text`` as one line in which each character can be seen."""
    return "".join(char if char.isprintable() and char not in _UNSEEN else _number(char) for char in text)


def exactly(text: str) -> str:
    """``text`` so that no other text reads the same: in quotes, as JSON, where it would not be plain without."""
    plain = text == text.strip() and spelled(text) == text and not text.startswith('"') and "\\u" not in text.lower()
    return text if plain else spelled(json.dumps(text, ensure_ascii=False))


def readable(arguments: str) -> str:
    """Arguments (JSON) one to a line, with nothing in them that could hide."""
    lines = json.dumps(json.loads(arguments), indent=2, ensure_ascii=False).split("\n")
    return "\n".join(map(spelled, lines))


def _number(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= _WIDEST else f"\\U{ord(char):08x}"
