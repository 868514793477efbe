"""``fusebox audit verify``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.progress import track
from rich.text import Text

from collector.audit import checkpoint
from collector.audit.anchors import AnchorFailed, into_file
from collector.audit.checkpoint import BadCheckpoint, Checkpoint
from collector.audit.keys import read_public
from collector.audit.report import USAGE, VERIFIED, Report
from collector.audit.state import State
from collector.audit.verify import Found, Wish, snapshots, verify
from collector.verbs.audit_source import Table, compare_live
from fusebox import terminal
from fusebox.clock import system_clock
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError, FuseboxError

_MAX_REASON: Final = 500
_COLOURS: Final = {"verified": "green", "tampered": "bold red", "incomplete": "yellow"}


class Verify:
    """Recomputes everything."""

    help = "recompute everything; 0 verified, 1 tampering, 2 incomplete, 3 usage"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--pubkey", type=Path, metavar="FILE", help="the keys you trust ('fusebox audit keys')")
        parser.add_argument(
            "--trusted", type=Path, action="append", default=[], metavar="CKPT",
            help="a checkpoint you kept: the log must contain it (may be given again)",
        )  # fmt: skip
        parser.add_argument(
            "--witness", type=Path, metavar="FILE",
            help="checkpoints seen before, or an anchor's file; what is verified is added to it",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        try:
            keys = read_public(args.pubkey) if args.pubkey else {}
            remembered = [each for path in args.trusted for each in _read(path)]
            remembered += _read(args.witness) if args.witness and args.witness.exists() else []
        except ConfigError as error:
            print(f"fusebox: {error}", file=sys.stderr)
            return USAGE
        try:
            found = verify_all(config, keys, remembered)
        except OSError as error:  # another user's journal, say: that proves nothing, and accuses nobody
            found = Found(Report(incomplete=[f"the journal cannot be read: {error}"]))
        _remember(args.witness, remembered, found)
        _record(config, found.report)
        if args.json:
            print(json.dumps(found.report.json()))
        else:
            show(found.report)
        return found.report.status


def verify_all(config: Config, keys: Mapping[str, str], remembered: Sequence[Checkpoint]) -> Found:
    """Journal, copy, evidence and live state of this installation."""
    root, state, gaps = config.data_dir / "journal", State(), list[str]()
    table = Table(config, gaps)
    chains = snapshots(root)
    copy = table.caught_up({writer: chain.end for writer, chain in chains.items()})
    now = system_clock().now()
    found = verify(Wish(chains, copy, now, keys, remembered), state.learn, _progress)
    found.report.incomplete += [*gaps, *table.evidence_gaps(now, config.spans_keep_days)]
    if not found.report.problems:
        compare_live(config, root, state, found.report)
    return found


def _read(path: Path) -> list[Checkpoint]:
    try:
        return [checkpoint.parse(text) for text in path.read_bytes().splitlines()]
    except (OSError, BadCheckpoint) as error:
        raise ConfigError(f"{path} holds no checkpoints: {error}") from error


def _progress(writer: str, lines: Iterator[bytes], count: int) -> Iterable[bytes]:
    console = terminal.console(stderr=True)
    if not console.is_terminal:
        return lines
    return track(lines, f"{writer}", total=count, console=console, transient=True)


def _remember(witness: Path | None, known: list[Checkpoint], found: Found) -> None:
    """Add the newest checkpoints to the witness, unless something is wrong; it never goes backwards."""
    new = [each for each in found.newest.values() if each not in known]
    if witness is None or found.report.problems or not new:
        return
    try:
        for each in new:
            into_file(witness)(each)
    except (OSError, AnchorFailed) as error:
        found.report.incomplete.append(f"what was verified is not in the witness: {error}")


def _record(config: Config, report: Report) -> None:
    """Tell *watch*, which journals what is verified (``verified_to`` in SQL) and tells people of what is not."""
    first = report.first
    try:
        if first is not None:
            ControlClient.local(config).audit_failed(str(first)[:_MAX_REASON], f"{first.writer} {first.seq}")
        elif report.status == VERIFIED:
            ControlClient.local(config).verified({name: chain.verified_to for name, chain in report.chains.items()})
    except FuseboxError as error:
        print(f"watch was not told of this: {error}", file=sys.stderr)


def show(report: Report) -> None:
    """Print the result for people."""
    console = terminal.console()
    for writer, chain in report.chains.items():
        copy = "no copy" if chain.copied is None else f"{max(0, chain.copied - chain.first)} rows compared"
        console.print(Text(
            f"{writer}: {chain.size - chain.first} entries from {chain.first} on, "
            f"{max(0, chain.verified_to - chain.first)} of them signed ({chain.checkpoints} checkpoints, key "
            f"{', '.join(chain.keys) or 'none'}), {copy}"
        ))  # fmt: skip
    for problem in report.problems:
        console.print(Text(terminal.plain(f"TAMPERED {problem}"), style="bold red"))
    for gap in report.incomplete:
        console.print(Text(terminal.plain(f"incomplete: {gap}"), style="yellow"))
    word = str(report.json()["verdict"])
    console.print(Text(word, style=_COLOURS[word]))


action = Verify()
