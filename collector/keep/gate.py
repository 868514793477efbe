"""What a statement from outside may be: read-only, one, on our tables, of known parts only.

User text reaches the engine first as data: ``SELECT formatQuerySingleLine({q:String})`` parses it, refuses several
statements and gives its canonical form. Only that form is fed on, to ``EXPLAIN AST`` (which would *run* a second
statement), and what the engine's own parser shows must consist of allowed nodes, functions and tables. Everything else
is refused: unknown nodes, table functions, ``INTO OUTFILE``, ``SETTINGS``, other databases.

The reading is by line. An identifier may contain line breaks and so forge lines, but a forged line can only add a node
to be judged, never hide one: the kind always comes first on its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.client import Client

from collector.keep.functions import Functions, load
from fusebox.errors import FuseboxError

ACCESS_DENIED: Final = 497
UNKNOWN_FORMAT: Final = 73
BAD_ARGUMENTS: Final = 36

_NODES: Final = frozenset(
    {
        "SelectWithUnionQuery", "SelectQuery", "SelectIntersectExceptQuery", "ExpressionList", "Literal", "Identifier",
        "Function", "Asterisk", "QualifiedAsterisk", "ColumnsRegexpMatcher", "ColumnsListMatcher",
        "ColumnsTransformerList", "ColumnsExceptTransformer", "ColumnsReplaceTransformer",
        "ColumnsReplaceTransformer::Replacement", "TablesInSelectQuery", "TablesInSelectQueryElement",
        "TableExpression", "TableIdentifier", "TableJoin", "ArrayJoin", "Subquery", "WithElement", "OrderByElement",
        "WindowDefinition", "WindowListElement", "SampleRatio", "InterpolateElement",
    }
)  # fmt: skip
_TABLE_FUNCTIONS: Final = frozenset({"numbers", "zeros", "values", "generate_series", "generateSeries"})
_SYSTEM_TABLES: Final = frozenset(
    {
        "one", "numbers", "zeros", "settings", "functions", "formats", "tables", "columns", "databases",
        "data_type_families", "table_engines", "table_functions", "aggregate_function_combinators", "time_zones",
    }
)  # fmt: skip
_FORMATS: Final = re.compile(
    r"TabSeparated\w*|TSV\w*|CSV\w*|JSON\w*|Pretty\w*|Native|RowBinary\w*|Vertical|Values|Markdown|XML|Arrow|"
    r"ArrowStream|Parquet|LineAsString|Null"
)
_TAIL: Final = re.compile(r"^(.*)\sFORMAT\s(\w+)$", re.DOTALL)
_IDENTIFIER: Final = r"(?:`(?:[^`\\\n]|\\.)+`|\w+)"
_NAME: Final = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})?"
_LIKE: Final = r"(?: (?:NOT )?I?LIKE '(?:[^'\\\n]|\\.)*')?"
_PLAIN: Final = (
    re.compile("SHOW DATABASES"),
    re.compile(rf"SHOW TABLES(?: FROM (?P<database>{_IDENTIFIER}))?{_LIKE}"),
    re.compile(rf"(?:SHOW CREATE TABLE|DESCRIBE TABLE|EXISTS TABLE) (?P<table>{_NAME})"),
)


class StatementRefused(FuseboxError):
    """A statement that may not run here.

    Attributes:
        code: the ClickHouse error code a client is shown.
    """

    def __init__(self, message: str, code: int = ACCESS_DENIED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Permitted:
    """A statement that may run: canonical text without its format, and the format it asked for."""

    text: str
    format: str | None


class Gate:
    """Judges statements; immutable, shared by threads (each passes its own client)."""

    def __init__(self, client: Client) -> None:
        self._functions: Functions = load(client)
        self._database = str(client.command("SELECT currentDatabase()"))
        names = client.query("SELECT name FROM system.databases").result_columns[0]
        self._foreign = frozenset(names) - {self._database}

    @property
    def database(self) -> str:
        """The database whose tables may be read."""
        return self._database

    def judge(self, text: str, parameters: Mapping[str, str], client: Client) -> Permitted:
        """The canonical statement, when it may run.

        Raises:
            StatementRefused: it may not; the text says which part.
            ClickHouseError: the engine could not parse it (or found several statements).
        """
        canonical = str(client.query("SELECT formatQuerySingleLine({q:String})", {"q": text}).result_rows[0][0])
        match = _TAIL.match(canonical)
        body, asked = (match[1], match[2]) if match else (canonical, None)
        if not self._plain(body):
            self._inspect(_tree(body, parameters, client))
        return Permitted(body, asked)

    def _plain(self, body: str) -> bool:
        """True for the few statements beside SELECT, whose shape is known to the letter."""
        match = next((m for pattern in _PLAIN if (m := pattern.fullmatch(body))), None)
        if match is None:
            return False
        named = match.groupdict()
        if named.get("table"):
            self._check_table(named["table"].replace("`", ""))
        if named.get("database") and named["database"].strip("`") != self._database:
            raise StatementRefused(f"only the tables of {self._database} can be listed; read system.tables instead")
        return True

    def _inspect(self, tree: list[str]) -> None:
        if not tree or not tree[0].startswith("SelectWithUnionQuery"):
            kind = tree[0].split()[0] if tree else "nothing"
            raise StatementRefused(f"this port answers SELECT, SHOW, DESCRIBE and EXISTS only, not {kind}")
        before = ""
        for line in tree:
            self._check_line(line, before)
            before = line

    def _check_line(self, line: str, before: str) -> None:
        depth = len(line) - len(line.lstrip(" "))
        kind, _, rest = line.strip(" ").partition(" ")
        if kind not in _NODES:
            raise StatementRefused(f"{_reason(kind)} is not allowed here")
        if depth == 1 and kind != "ExpressionList":
            raise StatementRefused("INTO OUTFILE is not allowed here")
        if kind == "Function":
            self._check_function(rest.split(" ")[0], in_from=before.strip(" ").startswith("TableExpression"))
        elif kind == "TableIdentifier":
            self._check_table(_bare(rest))
        elif kind == "Identifier":
            self._check_column(_bare(rest))

    def _check_function(self, name: str, *, in_from: bool) -> None:
        if in_from and name not in _TABLE_FUNCTIONS:
            raise StatementRefused(f"table function {name} is not allowed here")
        if not in_from and not self._functions.allow(name):
            raise StatementRefused(f"function {name} is not allowed here")

    def _check_table(self, name: str) -> None:
        database, dot, table = name.partition(".")
        if dot and database != self._database and not _readable(database, table):
            raise StatementRefused(f"table {name} is not readable here; the tables of {self._database} are")

    def _check_column(self, name: str) -> None:
        """The right side of IN may be a table in the shape of a column."""
        parts = name.split(".")
        if parts[0] in self._foreign and not (len(parts) > 1 and _readable(parts[0], parts[1])):
            raise StatementRefused(f"{name} is not readable here")


def known_format(name: str) -> str:
    """``name``, when it is a format this port writes: whoever asks for it, it becomes part of the statement's text.

    Raises:
        StatementRefused: it is none.
    """
    if not _FORMATS.fullmatch(name):
        raise StatementRefused(f"FORMAT {name[:50]!r} is not available here", UNKNOWN_FORMAT)
    return name


def _tree(body: str, parameters: Mapping[str, str], client: Client) -> list[str]:
    """The engine's own parse, one node a line."""
    answer: bytes = client.raw_query(f"EXPLAIN AST {body}", parameters=bound(body, parameters))
    return [line for line in answer.decode("utf-8", "replace").split("\n") if line]


@dataclass(frozen=True, slots=True)
class _Verbatim:
    """A value that travels as it came: the driver escapes strings, and this one is escaped already."""

    text: str

    def __str__(self) -> str:
        return self.text


def bound(body: str, parameters: Mapping[str, str]) -> dict[str, _Verbatim] | None:
    """The parameters of the statement's placeholders, as the driver wants them.

    None when the statement has none of them: the driver would then put values into the text, with ``%``.
    """
    used = {name for name in parameters if re.search(rf"\{{{name}:[^}}]+\}}", body)}
    return {name: _Verbatim(parameters[name]) for name in used} or None


def _readable(database: str, table: str) -> bool:
    return database.lower() == "information_schema" or (database == "system" and table in _SYSTEM_TABLES)


def _bare(rest: str) -> str:
    """The name, without ``(alias …)`` and ``(children n)``."""
    return rest.partition(" (")[0]


def _reason(kind: str) -> str:
    return {"Set": "SETTINGS", "ColumnsApplyTransformer": "APPLY"}.get(kind, kind)
