"""``fusebox audit export``: the record as JSON Lines or as CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from collector.audit.entry import COLUMNS, as_read
from collector.audit.files import lines, some
from collector.audit.walk import decoded
from fusebox.config import Config

_FORMULA: Final = "=+-@\t\r\n"


class Export:
    """Reads the journal's files, not the copy."""

    help = "the record as JSON Lines or CSV"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl, as it is stored"
        )
        parser.add_argument("--writer", help="only this chain (default: all)")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        root = config.data_dir / "journal"
        chosen = some(root, args.writer)
        if args.format == "jsonl":
            for writer in chosen:
                for text in lines(root / writer):
                    sys.stdout.write(text.decode("utf-8", "replace") + "\n")
            return 0
        out = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL)
        out.writerow(COLUMNS)
        for writer in chosen:
            out.writerows(_cells(entry) for entry in _entries(lines(root / writer)))
        return 0


def _entries(texts: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for text in texts:
        entry = decoded(text)
        if entry:
            yield {**entry._asdict(), "payload": ""} if not entry.payload else as_read(entry) | {"time": entry.time}


def _cells(entry: dict[str, Any]) -> list[str]:
    texts = {**entry, "payload": json.dumps(entry["payload"], ensure_ascii=False) if entry["payload"] != "" else ""}
    return [safe(str(texts[name])) for name in COLUMNS]


def safe(text: str) -> str:
    """Text for one cell; what a spreadsheet would compute gets an apostrophe in front.

    It looks through leading spaces and quotes, and at what a full-width sign stands for.
    """
    start = unicodedata.normalize("NFKC", text).lstrip(" \"'\u200b\ufeff")[:1]
    return f"'{text}" if start and start in _FORMULA else text


action = Export()
