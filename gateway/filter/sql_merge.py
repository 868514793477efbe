"""MERGE: an INSERT and an UPDATE, and perhaps a DELETE, of the rows that its source names."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from fusebox.registry import SqlGrant, SqlVerb
from gateway.filter.sql_beside import ties
from gateway.filter.threats import Threat


def rows_of(merge: exp.Merge, grant: SqlGrant) -> Iterator[Threat]:
    """Rows that it changes without their being named one by one."""
    target, source = merge.this, merge.args["using"]
    names = [target.alias_or_name, source.alias_or_name]
    if not any({*names} <= tied for tied in ties(merge, [target, source], names)):
        yield Threat("sql.where", "a MERGE whose ON says of no column that it is equal in both")
    if any(when.args.get("source") for when in _whens(merge)):
        yield Threat("sql.where", "a MERGE that changes what its source does not name")
    if SqlVerb.DELETE not in grant.verbs and any(when.args["then"].name.upper() == "DELETE" for when in _whens(merge)):
        yield Threat("sql.verb", "delete is not granted")


def changes_rows(merge: exp.Merge) -> bool:
    """It does more than insert."""
    return any(not isinstance(when.args["then"], exp.Insert) for when in _whens(merge))


def changes(write: exp.Expr) -> Iterator[exp.Expr]:
    """What a statement sets in its target: columns, and lists of some."""
    for then in (write, *(when.args["then"] for when in _whens(write))):
        yield from (each.this for each in _set(then) if isinstance(each, exp.EQ))
        if isinstance(then, exp.Insert) and isinstance(then.this, exp.Tuple):
            yield then.this


def writes_all(write: exp.Expr) -> bool:
    """True for a MERGE that inserts or sets without saying which columns."""
    thens = [when.args["then"] for when in _whens(write)]
    inserting = (then for then in thens if isinstance(then, exp.Insert))
    setting = (then for then in thens if isinstance(then, exp.Update))
    return any(not isinstance(then.this, exp.Tuple) for then in inserting) or any(
        not all(isinstance(each, exp.EQ) for each in _set(then)) for then in setting
    )


def _set(then: exp.Expr) -> list[exp.Expr]:
    """What stands in the place of assignments; of some databases a ``*``."""
    given = then.args.get("expressions") or []
    return given if isinstance(given, list) else [given]


def _whens(write: exp.Expr) -> list[exp.When]:
    return list(write.args["whens"].expressions) if isinstance(write, exp.Merge) else []
