"""JSON inside a text: whoever gets the text may read it as JSON, and finds what stands behind its escapes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

_LITERAL: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def json_in(text: str) -> Any:
    """The object or list that a text is, every pair of an object by itself, since some take the first of two that have
    one name and others the last; None for any other text.

    Raises:
        RecursionError: it is nested too deep.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: [{name: value} for name, value in pairs])
    except ValueError:
        return None


def behind_escapes(text: str, change: Callable[[str], str]) -> str:
    """The text, if it is JSON with each text in it that is written with escapes changed; all else as it stands.

    Raises:
        RecursionError: it is nested too deep.
    """
    if "\\" not in text or json_in(text) is None:
        return text
    return _LITERAL.sub(lambda found: _changed(found[0], change), text)


def _changed(literal: str, change: Callable[[str], str]) -> str:
    if "\\" not in literal:
        return literal
    told = json.loads(literal)
    shown = change(told)
    return literal if shown == told else json.dumps(shown)
