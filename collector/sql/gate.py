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
from dataclasses import dataclass, field
from typing import Final

from collector.sql.database import Connection
from collector.sql.errors import UNKNOWN_FORMAT, StatementRefused
from collector.sql.functions import Functions, load

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
_VIEWER: Final = (
    "agent_events agent_minutes detector_scores token_ledger token_costs ledger_repricings emitters span_gaps "
    "otel_traces_trace_id_ts fusebox_schema"
)
READABLE: Final[Mapping[str, frozenset[str] | None]] = {"auditor": None, "viewer": frozenset(_VIEWER.split())}
"""Tables by role: None is all of them. A viewer sees what agents did and cost, never what was said."""
_TABLE_FUNCTIONS: Final = frozenset({"numbers", "zeros", "values", "generate_series", "generateSeries"})
_SYSTEM_TABLES: Final = frozenset(
    {
        "one", "numbers", "zeros", "settings", "functions", "formats", "tables", "columns", "databases",
        "data_type_families", "table_engines", "table_functions", "aggregate_function_combinators", "time_zones",
    }
)  # fmt: skip
_FORMATS: Final = re.compile(
    r"TabSeparated\w*|TSV\w*|TSKV|CSV\w*|JSON\w*|NDJSON|Pretty\w*|Native|RowBinary\w*|Vertical|Values|Markdown|MD|XML|"
    r"Arrow|ArrowStream|Parquet|ORC|Avro|BSONEachRow|MsgPack|Npy|RawBLOB|(?:Raw|LineAsString)(?:WithNames(?:AndTypes)?)?|"
    r"Null"
)
_FORMAT_TAIL: Final = re.compile(r"^(.*)\sFORMAT\s(?P<quote>`?)(?P<form>\w+)(?P=quote)$", re.DOTALL)
"""The engine quotes the names of formats that are words of SQL, too."""
_PAIR: Final = r"(\w+) = ('[^'\\\n]*'|-?[\d.]+|true|false)"
_SETTING: Final = re.compile(_PAIR)
_BARE_PAIR: Final = _PAIR.replace("(", "(?:")
_SETTINGS_TAIL: Final = re.compile(rf"^(.*)\sSETTINGS\s(?P<settings>{_BARE_PAIR}(?:, {_BARE_PAIR})*)$", re.DOTALL)
_INSERT: Final = re.compile(r"\s*INSERT\b", re.IGNORECASE)
_IDENTIFIER: Final = r"(?:`(?:[^`\\\n]|\\.)+`|\w+)"
_NAME: Final = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})?"
_LIKE: Final = r"(?: (?:NOT )?I?LIKE '(?:[^'\\\n]|\\.)*')?"
_PLAIN: Final = (
    re.compile("SHOW DATABASES"),
    re.compile(rf"SHOW TABLES(?: FROM (?P<database>{_IDENTIFIER}))?{_LIKE}"),
    re.compile(rf"(?:SHOW CREATE TABLE|DESCRIBE TABLE|EXISTS TABLE) (?P<table>{_NAME})"),
)


@dataclass(frozen=True, slots=True)
class Permitted:
    """A statement that may run: canonical text without its tail, the format and the settings it asked for."""

    text: str
    format: str | None
    settings: Mapping[str, str] = field(default_factory=dict)
    """As written; not judged yet."""


class Gate:
    """Judges the statements of one role; immutable, shared by threads (each passes its own connection)."""

    def __init__(self, connection: Connection, role: str = "auditor") -> None:
        self._functions: Functions = load(connection)
        self._database = connection.column("SELECT currentDatabase()")[0]
        names = connection.column("SELECT name FROM system.databases")
        self._foreign = frozenset(names) - {self._database}
        tables = connection.column("SELECT name FROM system.tables WHERE database = currentDatabase()")
        readable = READABLE[role]
        self._closed = frozenset() if readable is None else frozenset(tables) - readable

    @property
    def database(self) -> str:
        """The database whose tables may be read."""
        return self._database

    def judge(self, text: str, parameters: Mapping[str, str], connection: Connection) -> Permitted:
        """The canonical statement, when it may run.

        Raises:
            StatementRefused: it may not; the text says which part.
            EngineError: the engine could not parse it (or found several statements).
        """
        if _INSERT.match(text):  # what follows may be data, which the engine would call a syntax error
            raise StatementRefused("this port is read-only: INSERT is not allowed here")
        permitted = split(connection.ask("SELECT formatQuerySingleLine({q:String})", "RawBLOB", {"q": escaped(text)}))
        if not self._plain(permitted.text):
            self._inspect(_tree(permitted.text, parameters, connection))
        return permitted

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
        self._check_open(table if dot and database == self._database else name)
        if dot and database != self._database and not _readable(database, table):
            raise StatementRefused(f"table {name} is not readable here; the tables of {self._database} are")

    def _check_open(self, table: str) -> None:
        if table in self._closed:
            raise StatementRefused(f"table {table} is not for your role")

    def _check_column(self, name: str) -> None:
        """The right side of IN may be a table in the shape of a column."""
        parts = name.split(".")
        self._check_open(parts[1] if len(parts) > 1 and parts[0] == self._database else parts[0])
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


def split(canonical: str) -> Permitted:
    """The canonical text without its ``SETTINGS`` and ``FORMAT``, and those.

    A match is at the end of the text, which ends outside every string, so it is no part of one; and what is left is
    judged like any statement, so a cut at a wrong place could not let anything through either.
    """
    body, form, settings = canonical, None, dict[str, str]()
    while match := _FORMAT_TAIL.match(body) or _SETTINGS_TAIL.match(body):
        body = match[1]
        if "form" in match.groupdict():
            form = form or match["form"]
        else:
            settings = {name: value.strip("'") for name, value in _SETTING.findall(match["settings"])} | settings
    return Permitted(body, form, settings)


def escaped(value: str) -> str:
    """A value in the escaping in which parameters travel."""
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\0", "\\0")


def _tree(body: str, parameters: Mapping[str, str], connection: Connection) -> list[str]:
    """The engine's own parse, one node a line."""
    answer = connection.ask(f"EXPLAIN AST {body}", "", parameters)  # a FORMAT would be a node
    return [line for line in answer.split("\n") if line]


def _readable(database: str, table: str) -> bool:
    return database.lower() == "information_schema" or (database == "system" and table in _SYSTEM_TABLES)


def _bare(rest: str) -> str:
    """The name, without ``(alias …)`` and ``(children n)``."""
    return rest.partition(" (")[0]


def _reason(kind: str) -> str:
    return {"Set": "SETTINGS", "ColumnsApplyTransformer": "APPLY"}.get(kind, kind)
