"""Imported before anything else here: a ``fusebox.py`` or ``breakers.py`` beside a script must be named as the culprit.

``fusebox`` itself is looked for by hand, because the module that knows better may be the hidden one.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_found = find_spec("fusebox")
if _found and _found.origin and Path(_found.origin).resolve().parent.parent != Path(__file__).resolve().parent.parent:
    raise ImportError(f"{_found.origin} hides Fusebox's package 'fusebox'; rename it, or run from another folder")

from fusebox.shadow import check_packages  # noqa: E402 - after the question above

check_packages()
