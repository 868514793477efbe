"""Judges one SQL statement against an agent's grant.

Read twice: as written (:mod:`gateway.filter.sql_text`), and parsed by sqlglot in the declared dialect. What cannot be
parsed is refused. The filter is a second lock: the first one is a database user that has the same grants.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

from fusebox.registry import SqlGrant, SqlVerb
from gateway.filter.sql_calls import calls
from gateway.filter.sql_names import columns, tables
from gateway.filter.sql_plain import plainer
from gateway.filter.sql_rows import rows
from gateway.filter.sql_text import written
from gateway.filter.sql_where import always
from gateway.filter.threats import Threat

# sqlglot warns of statements it only knows by their first word, and quotes them whole: values do not belong in logs
logging.getLogger("sqlglot").setLevel(logging.ERROR)

UNREADABLE: Final = "sql.unreadable"
_MOST_QUERIES: Final = 100
"""In one statement; names are looked up in all of them."""
_VERBS: Final[tuple[tuple[type[exp.Expr], SqlVerb], ...]] = (
    (exp.Insert, SqlVerb.INSERT),
    (exp.Update, SqlVerb.UPDATE),
    (exp.Delete, SqlVerb.DELETE),
    (exp.Query, SqlVerb.SELECT),
    (exp.Merge, SqlVerb.UPDATE),
)


def judge(sql: str, grant: SqlGrant) -> list[Threat]:
    """What in a statement goes beyond the grant; nothing when it may run."""
    threats = written(sql, grant.dialect)
    try:
        statements = [each for each in sqlglot.parse(sql, read=grant.dialect) if each is not None]
    except (SqlglotError, RecursionError, IndexError) as error:  # the last of half a SHOW, in MySQL's dialect
        what = f"not {grant.dialect} SQL as far as can be told ({type(error).__name__})"
        return [*threats, Threat(UNREADABLE, what)]
    if not statements:
        return [*threats, Threat(UNREADABLE, "no statement")]
    if len(statements) > 1:
        threats.append(Threat("sql.stacked", f"{len(statements)} statements in one"))
    try:
        for statement in statements:
            threats.extend(_statement(normalize_identifiers(statement, dialect=grant.dialect), grant))
    except (SqlglotError, RecursionError) as error:
        threats.append(Threat(UNREADABLE, f"too tangled to follow ({type(error).__name__})"))
    return list(dict.fromkeys(threats))


def _statement(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """
    Raises:
        SqlglotError, RecursionError: it is more tangled than people write.
    """
    if sum(1 for _ in root.find_all(exp.Select)) > _MOST_QUERIES:
        raise SqlglotError("queries in queries")
    yield from _verbs(root, grant)
    root = plainer(root, grant)
    yield from calls(root)
    yield from tables(root, grant)
    yield from columns(root, grant)
    for where in root.find_all(exp.Where):
        if always(where.this):
            yield Threat("sql.always", "a condition that is always true")
    yield from _unions(root)
    yield from rows(root, grant)


def _verbs(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """The statement's own verb, and those inside it (a DELETE may hide in a WITH)."""
    verb = next((verb for kind, verb in _VERBS if isinstance(root, kind)), None)
    if (verb is None and not isinstance(root, exp.Command)) or isinstance(root, exp.Table):
        yield Threat("sql.verb", f"{root.key} is never granted")
    for kind, inner in _VERBS[:3]:
        if root.find(kind) and inner not in grant.verbs:
            yield Threat("sql.verb", f"{inner} is not granted")
    if SqlVerb.SELECT not in grant.verbs and root.find(exp.Select):
        yield Threat("sql.verb", "select is not granted")


def _unions(root: exp.Expr) -> Iterator[Threat]:
    """A branch of constants is how one finds out what fits; a recursive WITH begins with one."""
    for union in root.find_all(exp.SetOperation):
        if _recurs(union):
            continue
        for branch in (union.left, union.right):
            reads = not isinstance(branch.unnest(), exp.Select) or branch.unnest().args.get("from_")
            if not (reads and branch.find(exp.Table)):
                yield Threat("sql.union", "a UNION with constants")


def _recurs(union: exp.SetOperation) -> bool:
    """The union that a recursive WITH is, whose second branch reads the WITH itself."""
    cte = union.parent
    if not isinstance(cte, exp.CTE) or not (cte.parent and cte.parent.args.get("recursive")):
        return False
    return any(table.name == cte.alias and not table.db for table in union.right.find_all(exp.Table))
