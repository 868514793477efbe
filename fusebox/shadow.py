"""Is each of our root packages really ours?

The root names are generic: a ``rabbitmq.py`` beside a script, or another project's ``collector``, hides our package
from every import that follows. Asking early turns a puzzling ``ImportError`` into one sentence that names the file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Final

from fusebox.errors import Shadowed

PACKAGES: Final = ("fusebox", "breakers", "governance", "rabbitmq", "collector", "gateway", "dashboards", "examples")
_HOME: Final = Path(__file__).resolve().parent.parent


def check_packages(path: Sequence[str] | None = None) -> None:
    """Look for every root package as ``import`` would, along ``path`` (default: ``sys.path``).

    Raises:
        Shadowed: another module would be imported instead; the text names the file and the fix.
    """
    for name, file in shadows(path).items():
        raise Shadowed(f"{file} hides Fusebox's package {name!r}; rename it, or run from another folder")


def shadows(path: Sequence[str] | None = None) -> dict[str, Path]:
    """The hidden packages among :data:`PACKAGES`, each with the file that hides it."""
    found = {name: _origin(name, sys.path if path is None else path) for name in PACKAGES}
    return {name: file for name, file in found.items() if file and file.resolve().parent.parent != _HOME}


def _origin(name: str, path: Sequence[str]) -> Path | None:
    """The file behind the first module or package ``name`` on ``path``; a bare folder hides nothing."""
    spec: ModuleSpec | None = PathFinder.find_spec(name, path)
    return Path(spec.origin) if spec and spec.origin else None
