"""``fusebox collector``: work on what the collector keeps."""

from __future__ import annotations

import argparse
import json
import secrets
import time
from pathlib import Path
from typing import Any, Final

from collector.configured import user
from collector.keep.orders import answer_to, order_of
from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import FuseboxError, Retryable
from fusebox.rundir import lookup, write_atomic

_POLL_S: Final = 0.1


class KeepAway(Retryable):
    """No *keep* runs on this data folder, or it does not answer in time."""


class ReplayFailed(FuseboxError):
    """The database did not take the letters now."""


class CollectorVerb:
    """Orders *keep* about."""

    help = "replay dead letters"
    description = """\
Spans that the database could not take are dead letters: with their reason and their bytes in the table dead_letters
(or, when even that is refused, in the folder dead_letters/). Look at them, remove the cause, offer them again:

  fusebox sql "SELECT time, reason, length(raw) FROM dead_letters_waiting ORDER BY time"
  fusebox collector replay-dead
  fusebox collector replay-dead --reason agent_events_mv --json

A letter that is taken now is stored once, however often it is replayed; one that is refused again stays a letter. The
exit status is 1 when some were refused.
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        replay = actions.add_parser("replay-dead", help="offer dead letters to the database again")
        replay.add_argument("--reason", default="", metavar="TEXT", help="only letters whose reason contains it")
        replay.add_argument(
            "--timeout",
            type=float,
            default=300.0,
            metavar="SECONDS",
            help="how long to wait for keep (default: %(default)g)",
        )
        replay.add_argument("--json", action="store_true", help="print JSON")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if lookup(config.data_dir, "keep") is None:
            raise KeepAway(f"keep does not run on {config.data_dir}; start it with 'fusebox up'")
        with terminal.console().status("keep offers the dead letters again"):
            answer = _replay(config.data_dir / "dead_letters", args.reason, args.timeout)
        if answer["error"] and not args.json:
            raise ReplayFailed(f"{answer['replayed']} replayed, then: {answer['error']}; try again")
        print(json.dumps(answer) if args.json else _told(answer))
        return 1 if answer["refused"] or answer["error"] else 0


def _replay(folder: Path, reason: str, timeout: float) -> dict[str, Any]:
    """Order a replay and wait for its answer.

    Raises:
        KeepAway: there was none within ``timeout`` seconds; the order stands.
    """
    id = secrets.token_hex(8)
    write_atomic(order_of(folder, id), json.dumps({"user": user(), "reason": reason}))
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if answer := _answer(answer_to(folder, id)):
            return answer
        time.sleep(_POLL_S)
    raise KeepAway(f"keep did not answer within {timeout:g} s; it will carry the order out when it can")


def _answer(file: Path) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    file.unlink()
    return answer


def _told(answer: dict[str, Any]) -> str:
    lines = [f"{answer['replayed']} replayed, {answer['refused']} refused again"]
    return "\n".join(lines + [f"  {reason}" for reason in answer["reasons"]])


verb = CollectorVerb()
