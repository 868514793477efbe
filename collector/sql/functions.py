"""Which functions a statement from outside may call: those of known harmless categories, and a few by name.

Deny by default: a function of another category, of a user, or of a release to come is not in the list until somebody
puts it there. Left out on purpose: whatever reads files, dictionaries, other tables, settings, the host or the network,
sleeps, or calls a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from collector.sql.database import Connection

_CATEGORIES: Final = (
    "Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times",
    "Distance", "Encoding", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical",
    "Null", "Random Number", "Rounding", "String", "String Replacement", "String Search", "String Splitting",
    "Time Window", "Tuple", "Type Conversion", "URL", "UUID",
)  # fmt: skip
_BY_NAME: Final = frozenset(
    {
        "bar", "byteSize", "countDigits", "currentDatabase", "finalizeAggregation", "formatReadableDecimalSize",
        "formatReadableQuantity", "formatReadableSize", "formatReadableTimeDelta", "identity", "ignore",
        "isDecimalOverflow", "materialize", "neighbor", "parseTimeDelta", "rowNumberInAllBlocks", "rowNumberInBlock",
        "runningAccumulate", "runningDifference", "toColumnTypeName", "toTypeName", "transform", "version",
        "visibleWidth", "uptime", "variantElement", "variantType",
    }
)  # fmt: skip
# What the parser makes of syntax: ``_CAST`` is a parameter, put in its place.
_SYNTAX: Final = frozenset({"lambda", "exists", "grouping", "untuple", "_CAST"})
# Named by the engine in a harmless category, yet they use schemas or formats, or share a table function's name.
_EXCEPT: Final = frozenset({"formatRow", "formatRowNoNewline", "groupFormat", "format", "chdb", "file", "fuzzQuery"})
_QUERY: Final = """
SELECT name, alias_to, case_insensitive, is_aggregate, categories FROM system.functions WHERE origin = 'System'
"""
_COMBINATORS: Final = "SELECT name FROM system.aggregate_function_combinators"


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions that may be called."""

    exact: frozenset[str]
    any_case: frozenset[str]
    """Lower-case names that the engine takes in any case."""
    aggregates: frozenset[str]
    """Lower-case names that take combinators: ``sum`` allows ``sumIf``."""
    combinators: tuple[str, ...]

    def allow(self, name: str) -> bool:
        """True when a statement from outside may call ``name``."""
        return name in self.exact or name.lower() in self.any_case or self._combined(name)

    def _combined(self, name: str) -> bool:
        if name.lower() in self.aggregates:
            return True
        suffix = next((c for c in self.combinators if name.endswith(c) and len(name) > len(c)), None)
        return suffix is not None and self._combined(name.removesuffix(suffix))


def load(connection: Connection) -> Functions:
    """Ask the engine what it has and keep what is allowed."""
    rows = connection.rows(_QUERY)
    allowed = {name for name, alias, _, _, category in rows if not alias and _harmless(name, category)} | _SYNTAX
    named = [row for row in rows if row[0] in allowed or (row[1] in allowed and row[0] not in _EXCEPT)]
    return Functions(
        exact=frozenset(row[0] for row in named) | _SYNTAX,
        any_case=frozenset(row[0].lower() for row in named if row[2]),
        aggregates=frozenset(row[0].lower() for row in named if row[3]),
        combinators=tuple(connection.column(_COMBINATORS)),
    )


def _harmless(name: str, category: str) -> bool:
    return name not in _EXCEPT and (name in _BY_NAME or category in _CATEGORIES)
