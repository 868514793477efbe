"""``fusebox audit keys``, ``change-key`` and ``erase``."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import Final

from collector.audit.files import entries, some
from collector.audit.keys import PUBLIC, plan_change, read_public
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError

_WRITER: Final = "watch"


class Keys:
    """Prints them."""

    help = "the public keys of all chains, for the auditor to keep"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.description = (
            "One key a line: base64, chain, since which entry. The first of a chain is its root of trust."
        )

    def run(self, _args: argparse.Namespace, config: Config) -> int:
        root = config.data_dir / "journal"
        for writer in some(root):
            for public in read_public(root / writer / PUBLIC).values():
                print(public, writer, 0)
            for entry in entries(root, writer):
                if entry["kind"] == "key":
                    print(entry["payload"]["public"], writer, entry["seq"])
        return 0


class Change:
    """Plans it; the writer does it."""

    help = "sign with a new key from now on; the old one is worth nothing afterwards"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--reason", required=True, help="why: yearly, or stolen (then say so); it is recorded")
        parser.add_argument("--writer", default=_WRITER, help=f"whose chain (default: {_WRITER})")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if config.audit_signer:
            raise ConfigError("audit_signer holds the key: change it there, and give auditors the new public key")
        folder: Path = config.data_dir / "journal" / args.writer
        if not folder.is_dir():
            raise ConfigError(f"there is no chain {args.writer!r} in {folder.parent}")
        id = plan_change(folder, f"cli:{getpass.getuser()}", args.reason)
        print(f"{args.writer} signs with key {id} within a second, or when it starts")
        return 0


class Erase:
    """Asks *watch* to record it; *keep* carries it out."""

    help = "remove the payload of an entry; its hash stays, and the erasure is recorded"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("seq", type=int, metavar="SEQ", help="the entry's number")
        parser.add_argument("--reason", required=True, help="why; it is recorded under your name")
        parser.add_argument("--writer", default=_WRITER, help=f"whose chain (default: {_WRITER})")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        ControlClient.local(config).erase(args.writer, args.seq, args.reason)
        print(f"recorded; keep removes the payload of {args.writer} {args.seq} from the journal and the table")
        return 0


show = Keys()
change = Change()
erase = Erase()
