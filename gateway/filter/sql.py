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
from gateway.filter.sql_calls import called, calls
from gateway.filter.sql_names import columns, tables
from gateway.filter.sql_text import written
from gateway.filter.sql_where import always, chooses
from gateway.filter.threats import Threat

# sqlglot warns of statements it only knows by their first word, and quotes them whole: values do not belong in logs
logging.getLogger("sqlglot").setLevel(logging.ERROR)

UNREADABLE: Final = "sql.unreadable"
_VERBS: Final[tuple[tuple[type[exp.Expr], SqlVerb], ...]] = (
    (exp.Insert, SqlVerb.INSERT),
    (exp.Update, SqlVerb.UPDATE),
    (exp.Delete, SqlVerb.DELETE),
    (exp.Query, SqlVerb.SELECT),
)
_COLLECTING: Final = (exp.GroupConcat, exp.ArrayAgg, exp.ArrayConcatAgg, exp.JSONArrayAgg, exp.JSONObjectAgg)
_COLLECTORS: Final = frozenset(
    ("grouparray", "groupuniqarray", "json_agg", "jsonb_agg", "xmlagg", "string_agg", "topk")
    + ("json_arrayagg", "json_objectagg")
)


def judge(sql: str, grant: SqlGrant) -> list[Threat]:
    """What in a statement goes beyond the grant; nothing when it may run."""
    threats = written(sql, grant.dialect)
    try:
        statements = [each for each in sqlglot.parse(sql, read=grant.dialect) if each is not None]
    except (SqlglotError, RecursionError) as error:
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
    yield from _verbs(root, grant)
    yield from calls(root)
    yield from tables(root, grant)
    yield from columns(root, grant)
    for where in root.find_all(exp.Where):
        if always(where.this):
            yield Threat("sql.always", "a condition that is always true")
    yield from _unions(root)
    yield from _rows(root, grant)


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
    """A branch of constants is how one finds out what fits."""
    for union in root.find_all(exp.SetOperation):
        for branch in (union.left, union.right):
            if isinstance(branch.unnest(), exp.Select) and not branch.unnest().args.get("from_"):
                yield Threat("sql.union", "a UNION with constants")


def _rows(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """Writes need a WHERE that chooses; reads that, or a LIMIT, or an aggregate."""
    for kind in (exp.Update, exp.Delete):
        for write in root.find_all(kind):
            if not chooses(write.args.get("where"), _booleans(grant)):
                yield Threat("sql.where", f"{write.key} without a WHERE that chooses rows")
    if grant.max_rows and isinstance(root, exp.Query) and _is_dump(root, grant):
        yield Threat("sql.dump", f"a whole table: give a WHERE that chooses, or LIMIT {grant.max_rows} at most")
    copied = root.expression if isinstance(root, exp.Insert) else None
    if grant.max_rows and isinstance(copied, exp.Query) and copied.find(exp.Table) and _is_dump(copied, grant):
        yield Threat("sql.dump", "an INSERT that copies a whole table")


def _booleans(grant: SqlGrant) -> bool:
    return grant.dialect == "postgres"


def _is_dump(query: exp.Expr, grant: SqlGrant) -> bool:
    limit = query.args.get("limit")
    if limit is not None and not limit.expressions:  # with expressions it is LIMIT n BY: so many of each group
        return not _at_most(limit, grant.max_rows)
    inner = query.unnest()
    if isinstance(inner, exp.SetOperation):
        return any(_is_dump(side, grant) for side in (inner.left, inner.right))
    if inner is not query:
        return _is_dump(inner, grant)
    if not isinstance(inner, exp.Select) or not inner.args.get("from_"):
        return False
    chosen = any(chooses(inner.args.get(where), _booleans(grant)) for where in ("where", "prewhere"))
    return not (chosen or _sums_up(inner) or _source_chooses(inner, grant))


def _source_chooses(select: exp.Select, grant: SqlGrant) -> bool:
    """A read from one subquery or CTE is as narrow as that is."""
    source = select.args["from_"].this
    if select.args.get("joins"):
        return False
    if isinstance(source, exp.Subquery):
        return not _is_dump(source.this, grant)
    ctes = {cte.alias: cte.this for cte in select.ctes}
    return isinstance(source, exp.Table) and source.name in ctes and not _is_dump(ctes[source.name], grant)


def _at_most(limit: exp.Expr, max_rows: int) -> bool:
    amount = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
    return isinstance(amount, exp.Literal) and not amount.is_string and 0 <= int(amount.this) <= max_rows


def _sums_up(select: exp.Select) -> bool:
    """Only aggregates come out, or groups with some; but not aggregates that collect the rows."""
    if any(_collects(node) for each in select.expressions for node in each.walk()):
        return False
    summed = [bool(each.find(exp.AggFunc) and not each.find(exp.Window)) for each in select.expressions]
    return any(summed) if select.args.get("group") else all(summed)


def _collects(node: exp.Expr) -> bool:
    named = isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg)
    return isinstance(node, _COLLECTING) or (named and called(node) in _COLLECTORS)
