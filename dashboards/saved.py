"""Statements that people keep for themselves: one file for each person, ``<data_dir>/dashboard/queries/<tag>.json``.

The file is a JSON object, title to statement, in the order of keeping; mode 0600, replaced atomically, and edited under
a lock, so that two windows of one person lose nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dashboards.people import Person
from dashboards.text import tag
from fusebox import happenings
from fusebox.config import Config
from fusebox.rundir import write_atomic
from fusebox.secrets_file import locked

MOST: Final = 50
TITLE: Final = 60
"""How many statements a person may keep, and how long a title may be."""

DAMAGED: Final = happenings.declare(
    "saved_queries_damaged", logging.ERROR, "a person's kept statements cannot be read; an edit sets the file aside"
)


class Full(Exception):
    """This person keeps as many statements as they may."""


def saved(config: Config, who: Person) -> Mapping[str, str]:
    """What ``who`` keeps; nothing when the file cannot be read, which is told."""
    file = _file(config, who)
    try:
        return _read(file)
    except (OSError, ValueError) as error:
        happenings.emit(DAMAGED, file=str(file), error=str(error))
        return {}


def save(config: Config, who: Person, title: str, statement: str) -> None:
    """Keep a statement under a title, instead of the one that had it.

    Raises:
        Full: there are :data:`MOST` others.
    """
    with _editing(_file(config, who)) as kept:
        if title not in kept and len(kept) >= MOST:
            raise Full
        kept[title] = statement


def forget(config: Config, who: Person, title: str) -> None:
    """Keep it no longer."""
    with _editing(_file(config, who)) as kept:
        kept.pop(title, None)


def _file(config: Config, who: Person) -> Path:
    return config.data_dir / "dashboard" / "queries" / f"{tag(who.id)}.json"


def _read(file: Path) -> dict[str, str]:
    """
    Raises:
        ValueError: it is damaged.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return {str(title): str(statement) for title, statement in found.items()}


@contextmanager
def _editing(file: Path) -> Iterator[dict[str, str]]:
    with locked(file):
        try:
            kept = _read(file)
        except ValueError as error:
            happenings.emit(DAMAGED, file=str(file), error=str(error), kept=f"{file.name}.damaged")
            file.replace(file.with_name(f"{file.name}.damaged"))
            kept = {}
        yield kept
        write_atomic(file, json.dumps(kept, ensure_ascii=False, indent=1))
