"""The files of a chain: which there are, what stands in them, and how a start repairs their end.

Only an end can be torn by a crash: a last line without LF was never acknowledged, and is cut off.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from collector.audit.entry import BadLine, Entry, as_read, decode
from fusebox import happenings
from fusebox.errors import ConfigError

_NAME: Final = re.compile(r"\d{12}\.jsonl")

REPAIRED: Final = happenings.declare(
    "journal_repaired", logging.ERROR, "the journal ended in half a line (never acknowledged); it was cut off"
)
DAMAGED: Final = happenings.declare(
    "journal_damaged",
    logging.CRITICAL,
    "a line inside the journal is no genuine entry; it was passed over: run 'fusebox audit verify', keep the file",
)


def writers(root: Path) -> list[str]:
    """The names of all chains below ``<data_dir>/journal``."""
    if not root.is_dir():
        return []
    return sorted(each.name for each in root.iterdir() if each.is_dir() and any(each.glob("*.jsonl")))


def some(root: Path, writer: str | None = None) -> list[str]:
    """The names of all chains, or that of one.

    Raises:
        ConfigError: there is none: an empty answer would pass for an empty record.
    """
    found = writers(root)
    if not found:
        raise ConfigError(f"there is no record in {root} yet; 'fusebox up' begins one, or FUSEBOX_DATA_DIR is another")
    if writer and writer not in found:
        raise ConfigError(f"there is no chain {writer!r} in {root}; there are {', '.join(found)}")
    return [writer] if writer else found


def chain_files(folder: Path) -> list[Path]:
    """The files of entries, oldest first; a folder, or a link to nothing, that is called like one is none."""
    return sorted(each for each in folder.glob("*.jsonl") if _NAME.fullmatch(each.name) and each.is_file())


def first_seq(path: Path) -> int:
    """The number of the first entry that belongs into the file."""
    return int(path.name.partition(".")[0])


def lines(folder: Path, since: int = 0) -> Iterator[bytes]:
    """Every whole line without its LF, oldest first; files that end before entry ``since`` are left out."""
    files = chain_files(folder)
    for number, path in enumerate(files):
        if any(first_seq(after) <= since for after in files[number + 1 : number + 2]):
            continue
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]


def entries(root: Path, writer: str = "watch") -> Iterator[dict[str, Any]]:
    """Every genuine entry of a chain, oldest first, for those who learn from it.

    Others are passed over, loudly: people must be able to kill. An erased one teaches nothing any more.
    """
    for text in lines(root / writer):
        entry = _genuine(root / writer, text)
        if entry and entry.payload:
            yield as_read(entry)


def cut_torn(path: Path) -> int:
    """Cut what follows the last LF, loudly; the size that is left."""
    with path.open("r+b") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            happenings.emit(REPAIRED, file=str(path), bytes=len(data) - whole)
            os.ftruncate(file.fileno(), whole)
            os.fsync(file.fileno())
    return whole


def refuse_older_format(root: Path) -> None:
    """Say what to do about a journal of a Fusebox before the audit chain.

    Raises:
        ConfigError: there is one.
    """
    old = [*root.glob("watch-*.jsonl"), *root.glob("*/watch-*.jsonl")]
    if old:
        raise ConfigError(
            f"{old[0]} is a journal of an earlier Fusebox, which carries no proof; move every watch-*.jsonl below "
            f"{root} to a folder of its own and start again. It stays readable there, its rows stay in audit_log "
            "(payload_hash is empty), and kills stay in force: they stand in latch/"
        )


def _genuine(folder: Path, text: bytes) -> Entry | None:
    try:
        entry = decode(text)
    except BadLine as error:
        happenings.emit(DAMAGED, folder=str(folder), bytes=len(text), error=str(error)[:200])
        return None
    if not entry.genuine:
        happenings.emit(DAMAGED, folder=str(folder), seq=entry.seq, error="its hash is wrong")
        return None
    return entry
