"""Functions and other words of a statement that do more than compute.

Functions that sqlglot knows compute, but for those listed; of those it does not know only the listed ones are let
through. A list of what is forbidden would be one release behind its database.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlglot import exp

from gateway.filter.threats import Threat

COMMAND: Final = "sql.command"


def kinds(*names: str) -> tuple[type[exp.Expr], ...]:
    """Those kinds of node that this release of sqlglot has."""
    return tuple(getattr(exp, name) for name in names if hasattr(exp, name))


_NEVER: Final = kinds(
    *("Alter", "Analyze", "Attach", "Block", "Cache", "Comment", "Commit", "Copy", "Create", "Declare"),
    *("Describe", "Detach", "Drop", "Execute", "Export", "Grant", "Into", "Kill", "LoadData", "Lock"),
    *("Pragma", "Refresh", "Revoke", "Rollback", "SessionParameter", "Set", "Show", "Transaction", "TruncateTable"),
    *("Uncache", "Use"),
)
"""Statements and clauses that are never granted."""

_ENCODED: Final = kinds(
    *("BitString", "ByteString", "Chr", "FromBase64", "HexString", "Introducer", "National", "UnicodeString", "Unhex"),
)
_READING: Final = kinds("Columns", "DictGet", "JSONTable", "OpenJSON", "ReadCSV", "ReadParquet", "XMLTable")
_TELLING: Final = frozenset(
    ("currentuser", "currentdatabase", "currentschema", "currentschemas", "currentcatalog", "currentrole")
    + ("currentversion", "currentaccount", "currentwarehouse", "sessionuser", "version", "user", "database", "schema")
    + ("decrypt", "decryptraw", "aesdecrypt")
)
_SLEEPING: Final = frozenset(
    ("sleep", "pg_sleep", "pg_sleep_for", "pg_sleep_until", "benchmark", "sleepeachrow", "waitfor")
)
_PLAIN: Final = frozenset(
    word
    for line in Path(__file__).with_name("functions.txt").read_text().splitlines()
    if not line.startswith("#")
    for word in line.split()
)


def calls(root: exp.Expr) -> Iterator[Threat]:
    """Words that are never granted."""
    for node in root.walk():
        if isinstance(node, exp.Command):
            yield Threat(COMMAND, "a statement that is known by its first word only")
        elif isinstance(node, _NEVER) or (isinstance(node, exp.Merge) and node is not root):
            yield Threat("sql.verb", f"{node.key} is never granted")
        elif isinstance(node, _ENCODED):
            yield Threat("sql.encoded", f"a text spelled by {node.key}")
        elif isinstance(node, _READING):
            yield Threat("sql.function", f"{node.key} reads what no grant names")
        elif isinstance(node, exp.Aliases):
            yield Threat("sql.function", "a second pair of brackets that is not understood")
        elif isinstance(node, exp.Cast) and _is_object(node.to):
            yield Threat("sql.function", f"a cast to {node.to.sql().lower()}")
        elif isinstance(node, exp.Func):
            yield from _call(node)
        elif isinstance(node, exp.In) and node.args.get("field") is not None:
            yield Threat("sql.table", "IN reads a table by its bare name")
        elif isinstance(node, exp.PropertyEQ) or _is_variable(node):
            yield Threat("sql.function", "a variable of the session")
        elif isinstance(node, exp.Placeholder) and str(node.args.get("kind")).lower() == "identifier":
            yield Threat("sql.column", "a name that comes as a parameter")
        elif isinstance(node, exp.Select) and node.args.get("settings"):
            yield Threat("sql.verb", "SETTINGS are never granted")


def _is_variable(node: exp.Expr) -> bool:
    """``@x``; a numbered parameter (``$1``) is none."""
    return isinstance(node, exp.Parameter) and not str(node.name).isdigit()


def _is_object(type_: exp.Expr) -> bool:
    """A type that names something in the catalogue: ``'users'::regclass``."""
    return isinstance(type_, exp.ObjectIdentifier) or (isinstance(type_, exp.DataType) and type_.is_type("userdefined"))


def _call(node: exp.Func) -> Iterator[Threat]:
    name = called(node)
    if name in _SLEEPING:
        yield Threat("sql.sleep", f"{name} makes the database wait")
    elif name.replace("_", "") in _TELLING:
        yield Threat("sql.function", f"{name} tells about the server")
    elif isinstance(node, exp.Anonymous | exp.ParameterizedAgg | exp.AnonymousAggFunc) and name not in _PLAIN:
        yield Threat("sql.function", f"function {name} is not known to be harmless")


def called(node: exp.Expr) -> str:
    """A function's name in lower case."""
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg):
        return str(node.this).lower()
    return str(node.sql_name() if isinstance(node, exp.Func) else node.key).lower()
