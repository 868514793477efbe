"""``fusebox audit prove`` and ``fusebox audit consistency``: proofs that somebody else can check without the log."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from collector.audit import checkpoint
from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import leaf, line
from collector.audit.erasure import find
from collector.audit.files import lines
from collector.audit.merkle import Frontier, Tree
from collector.audit.walk import decoded
from fusebox.config import Config
from fusebox.errors import ConfigError

Json = dict[str, Any]
_WRITER: Final = "watch"


class Prove:
    """Inclusion."""

    help = "proof that one entry is in the signed log"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("seq", type=int, metavar="SEQ", help="the entry's number")
        _writer(parser)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        folder = config.data_dir / "journal" / args.writer
        found, signed = find(folder, args.seq), checkpoint.last(folder)
        if found is None or signed is None or args.seq >= signed.size:
            raise ConfigError(f"{args.writer} has no signed entry {args.seq}; the last signed one is {_last(signed)}")
        tree = _tree(config, args.writer)
        entry = found[2]
        print(json.dumps({
            "entry": json.loads(line(entry)), "leaf": leaf(entry).hex(), "size": signed.size,
            "proof": [step.hex() for step in _proven(lambda: tree.inclusion(args.seq, signed.size))],
            "checkpoint": json.loads(signed.line),
        }))  # fmt: skip
        return 0


class Consistency:
    """One log begins with the other."""

    help = "proof that the log of B entries begins with that of A"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("first", type=int, metavar="A", help="entries of the earlier log")
        parser.add_argument("second", type=int, metavar="B", help="entries of the later log")
        _writer(parser)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        tree = _tree(config, args.writer)
        if not 0 <= args.first <= args.second <= tree.size:
            raise ConfigError(f"0 ≤ A ≤ B ≤ {tree.size} must hold: {args.writer} has {tree.size} entries")
        sizes = {"first": args.first, "second": args.second}
        proof = _proven(lambda: tree.consistency(args.first, args.second))
        roots = {f"{name}_root": _root(tree, size).hex() for name, size in sizes.items()}
        print(json.dumps({**sizes, **roots, "proof": [step.hex() for step in proof]}))
        return 0


def _writer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--writer", default=_WRITER, help=f"whose chain (default: {_WRITER})")


def _tree(config: Config, writer: str) -> Tree:
    folder = config.data_dir / "journal" / writer
    entries = [entry for text in lines(folder) if (entry := decoded(text))]
    first = entries[0].seq if entries else 0
    start = _start(checkpoint.lines(folder / checkpoint.FILE), first) if first else Frontier()
    return Tree([leaf(entry) for entry in entries if entry.seq >= start.size], start)


def _start(texts: list[bytes], first: int) -> Frontier:
    for text in texts:
        found = checkpoint.parse(text)
        if found.size >= first:
            return found.tree
    raise ConfigError(f"no checkpoint reaches entry {first}, the first one left; 'fusebox audit verify' says more")


def _proven(make: Any) -> list[bytes]:
    try:
        return list(make())
    except LookupError as error:
        raise ConfigError(str(error)) from error


def _root(tree: Tree, size: int) -> bytes:
    return _proven(lambda: [tree.root(size)])[0]


def _last(signed: Checkpoint | None) -> str:
    return str(signed.size - 1) if signed else "none"


prove = Prove()
consistency = Consistency()
