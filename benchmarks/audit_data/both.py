"""Both verifiers on one log, and whether they agree."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.audit_data.logs import NOW, Log
from collector.audit.entry import Entry
from collector.audit.report import Report
from collector.audit.verify import Copy, Wish, snapshots, verify


@dataclass(frozen=True, slots=True)
class Verdict:
    """Exit status and first bad entry (writer, number) of one verifier."""

    status: int
    first: tuple[str, int] | None


def second() -> ModuleType:
    """``tools/verify_audit.py``, which is no module of ours."""
    path = Path(__file__).resolve().parents[2] / "tools" / "verify_audit.py"
    spec = importlib.util.spec_from_file_location("verify_audit", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judge(log: Log, tool: ModuleType, scratch: Path | None = None) -> tuple[Verdict, Verdict, Report]:
    """What each verifier says of the log; both read it from disk."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        root = Path(name) / "journal"
        root.mkdir()
        log.write(root)
        ours = _ours(log, root)
        theirs = _theirs(log, root, tool)
    return ours[0], theirs, ours[1]


def _ours(log: Log, root: Path) -> tuple[Verdict, Report]:
    ordered: dict[str, list[Entry]] = {}
    for row in sorted((row for rows in log.rows.values() for row in rows), key=lambda row: row.seq):
        ordered.setdefault(row.writer, []).append(row)
    sizes = {writer: rows[-1].seq + 1 for writer, rows in ordered.items() if rows}
    copy = Copy(sizes, log.given, lambda writer, _below: ordered.get(writer, []))
    report = verify(Wish(snapshots(root), copy, NOW + 1, log.keys, log.remembered), _ignore, _bare).report
    return Verdict(report.status, (report.first.writer, report.first.seq) if report.first else None), report


def _theirs(log: Log, root: Path, tool: ModuleType) -> Verdict:
    file = root.parent / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in log.rows_json()))
    run: Callable[..., Any] = tool.verify
    remembered = [json.loads(each.line) for each in log.remembered]
    status, bad, _ = run(root, tool.read_rows(file), dict(log.keys), remembered, NOW + 1)
    first = min(((writer, seq) for writer, seq, _ in bad), default=None)
    return Verdict(status, first)


def _ignore(_entry: object) -> None:
    return None


def _bare(_writer: str, lines: Any, _count: int) -> Any:
    return lines
