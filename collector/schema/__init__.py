"""The database's schema: numbered SQL files, applied once each and in order, and the Protobuf schema of the ingest.

Every statement may be run again (``CREATE`` or ``ADD COLUMN … IF NOT EXISTS``, changes of settings, types and codecs, a
table emptied and filled), so a start that died half-way is simply repeated. ``fusebox_schema`` remembers which files
were applied and their SHA-256: an applied file that changed, or a file of a newer Fusebox, is refused instead of
guessed at.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from clickhouse_connect.driver.client import Client

from fusebox.errors import ConfigError

MESSAGE: Final = "Batch"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS fusebox_schema (`number` UInt32, `name` String, `sha256` String, `applied` DateTime)
ENGINE = MergeTree ORDER BY `number` SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the file's text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """Its statements; each ends in a semicolon at the end of a line."""
        lines = "\n".join(line for line in self.text.splitlines() if not line.startswith("--"))
        return [statement.strip() for statement in lines.split(";\n") if statement.strip(";\n ")]


def steps() -> list[Step]:
    """Every file of this release, in order."""
    found = sorted((f for f in files(__package__).iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Step(int(f.name[:4]), f.name, f.read_text(encoding="utf-8")) for f in found]


def proto() -> str:
    """The Protobuf schema of the ingest, as the database is given it with each insert."""
    return files(__package__).joinpath("ingest.proto").read_text(encoding="utf-8")


def apply(client: Client) -> None:
    """Bring the database to this release's schema.

    Raises:
        ConfigError: the database was written by a newer Fusebox, by a changed one, or not by Fusebox at all.
    """
    for step in pending(client):
        _apply(client, step)


def pending(client: Client) -> list[Step]:
    """The steps that the database lacks, in order. Raises likewise."""
    _refuse_stock(client)
    client.command(_TABLE)
    done, known = applied(client), steps()
    _refuse_strangers(done, known)
    return [step for step in known if step.number not in done]


def _refuse_stock(client: Client) -> None:
    if client.command("EXISTS TABLE otel_traces") and not client.command("EXISTS TABLE fusebox_schema"):
        raise ConfigError(
            "this database has a table otel_traces that Fusebox has not built; Fusebox reads it as it is ('fusebox "
            "schema check'), and writes to a database of its own: name another one in clickhouse_url"
        )


def applied(client: Client) -> dict[int, str]:
    """Number and SHA-256 of every step that the database has."""
    rows = client.query("SELECT `number`, any(`sha256`) FROM fusebox_schema GROUP BY `number`").result_rows
    return {int(number): str(sha256) for number, sha256 in rows}


def _refuse_strangers(applied: dict[int, str], known: list[Step]) -> None:
    newer = set(applied) - {step.number for step in known}
    if newer:
        raise ConfigError(
            f"the database has schema step {max(newer)}, which this Fusebox does not know; upgrade it, or, if no "
            "release wrote that database, begin a new one"
        )
    changed = [step.name for step in known if applied.get(step.number, step.sha256) != step.sha256]
    if changed:
        raise ConfigError(
            f"{changed[0]} is not what the database was built with; install the Fusebox that wrote it, or, if no "
            "release did, begin a new one"
        )


def _apply(client: Client, step: Step) -> None:
    for statement in step.statements:
        client.command(statement.rstrip(";"))
    client.command(
        "INSERT INTO fusebox_schema SELECT {number:UInt32}, {name:String}, {sha:String}, now()",
        parameters={"number": step.number, "name": step.name, "sha": step.sha256},
    )
