"""``fusebox demo --tamper``: somebody edits the record of who killed what; a verification names the entry.

The intruder has what root on this machine has: the database's files and the journal's, but not a second machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from collector.audit.erasure import find
from collector.audit.report import TAMPERED, Report
from collector.keep.engine import engine_of
from collector.verbs.audit_verify import show, verify_all
from examples.demo_screen import Screen
from examples.demo_settings import Options, Settings, data_folder, registry_file, settings
from examples.pager import Pager
from fusebox.clock import SystemClock
from fusebox.command import agent_scope
from fusebox.control import ControlClient
from fusebox.supervisor import Supervisor

_AGENT: Final = "ticket-helper"
_ROLES: Final = ("keep", "watch")


def play(options: Options, screen: Screen) -> int:
    """Act it out; 0 when each forgery was named and the clean log was not, else 1."""
    screen.title("Fusebox: has anyone touched the record?")
    with data_folder(options) as folder, registry_file() as registry:
        chosen = settings(folder, registry, Pager(SystemClock()), None)
        seqs, reports = _story(chosen, screen)
    clean, *tampered = reports
    named = [report.first.seq if report.first else None for report in tampered]
    held = not clean.problems and named == seqs and all(report.status == TAMPERED for report in tampered)
    screen.say("every forgery was named" if held else "a forgery was NOT named")
    if options.json:
        screen.plain(json.dumps({"forged": seqs, "named": named, "held": held}))
    return 0 if held else 1


def _story(chosen: Settings, screen: Screen) -> tuple[list[int], list[Report]]:
    screen.act(1, "Jo kills an agent and lets it run again; the record is clean")
    with _running(chosen, screen):
        control = ControlClient.local(chosen.config)
        control.kill(agent_scope(_AGENT), "it promised a customer a refund")
        seq = _kill(chosen.config.data_dir)
        control.resume(agent_scope(_AGENT), "the prompt is fixed")
        clean = _verify(chosen, screen)
    screen.act(2, f"Somebody edits the row of entry {seq} in ClickHouse: another agent was killed")
    _edit_row(chosen, seq)
    with _running(chosen, screen):
        edited = _verify(chosen, screen)
    screen.act(3, f"... puts it back, and edits line {seq} of the journal's file instead")
    _edit_row(chosen, seq, back=True)
    _edit_line(chosen.config.data_dir / "journal" / "watch", seq)
    with _running(chosen, screen):
        forged = _verify(chosen, screen)
    return [seq, seq], [clean, edited, forged]


@contextmanager
def _running(chosen: Settings, screen: Screen) -> Iterator[None]:
    screen.starting(", ".join(_ROLES))
    supervisor = Supervisor(chosen.config, _ROLES, chosen.environment)
    try:
        supervisor.start()
        yield
    finally:
        supervisor.stop()


def _verify(chosen: Settings, screen: Screen) -> Report:
    screen.plain("$ fusebox audit verify")
    report = verify_all(chosen.config, {}, []).report
    show(report)
    return report


def _kill(data_dir: Path) -> int:
    folder, seq = data_dir / "journal" / "watch", 0
    while (found := find(folder, seq)) and found[2].kind != "kill":
        seq += 1
    return seq


def _edit_row(chosen: Settings, seq: int, *, back: bool = False) -> None:
    before, after = agent_scope(_AGENT), agent_scope("label-bot")
    engine = engine_of(chosen.config)
    try:
        engine.writer().command(
            "ALTER TABLE audit_log UPDATE subject = {subject:String} WHERE writer = 'watch' AND seq = {seq:UInt64}",
            parameters={"subject": before if back else after, "seq": seq}, settings={"mutations_sync": 1},
        )  # fmt: skip
    finally:
        engine.close()


def _edit_line(folder: Path, seq: int) -> None:
    found = find(folder, seq)
    assert found is not None
    path, offset, _ = found
    data = path.read_bytes()
    end = data.index(b"\n", offset)
    path.write_bytes(data[:offset] + data[offset:end].replace(b"refund", b"discount", 1) + data[end:])
