"""How many rows a statement reads or writes: those that a condition chooses, a LIMIT counts or an aggregate sums up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from fusebox.registry import SqlGrant
from gateway.filter.sql_beside import is_listed, loose, sources
from gateway.filter.sql_calls import called, kinds
from gateway.filter.sql_groups import kinds_of, made, narrow, query_of
from gateway.filter.sql_merge import changes_rows, rows_of
from gateway.filter.sql_where import chooses
from gateway.filter.sql_withs import cte_of
from gateway.filter.threats import Threat

_COLLECTING: Final = kinds(
    *("ApproxTopK", "ApproxTopSum", "ArrayAgg", "ArrayConcatAgg", "ArrayUnionAgg", "ArrayUniqueAgg", "GroupConcat"),
    *("JSONArrayAgg", "JSONBObjectAgg", "JSONObjectAgg", "ObjectAgg"),
)
_COLLECTORS: Final = frozenset(
    ("grouparray", "groupuniqarray", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "xmlagg")
    + ("string_agg", "topk", "json_arrayagg", "json_objectagg")
)

_DUMP: Final = "dump"
_ALL: Final = "all groups"


def rows(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """Writes need a WHERE that chooses; reads that, or a LIMIT, or an aggregate."""
    for kind in (exp.Update, exp.Delete):
        for write in root.find_all(kind):
            if isinstance(write.parent, exp.When):
                continue  # its rows are the MERGE's
            if not chooses(write.args.get("where"), _booleans(grant)):
                yield Threat("sql.where", f"{write.key} without a WHERE that chooses rows")
            elif any(isinstance(each, exp.Table) for each in loose(write, _booleans(grant))):
                yield Threat("sql.where", f"{write.key} with a second table: say of each, by its name, which rows")
    if grant.max_rows and isinstance(root, exp.Query) and _is_dump(root, grant):
        yield Threat("sql.dump", f"a whole table: give a WHERE that chooses in each, or LIMIT {grant.max_rows} at most")
    if isinstance(root, exp.Merge):
        yield from rows_of(root, grant)
        source = root.args["using"]
        if grant.max_rows and not _is_narrow(source, grant):
            yield Threat("sql.dump", "a MERGE from a whole table: give its source a WHERE that chooses")
        elif changes_rows(root) and _sums_all_up(source, grant):
            yield Threat("sql.where", "a MERGE that changes what is in any group: give its source a WHERE that chooses")
    if grant.max_rows and any(_is_dump(select, grant) for select in _collectors(root)):
        yield Threat("sql.dump", "a whole table in one value: give the subquery a WHERE that chooses")
    if grant.max_rows and any(_reads_for_each(select, grant) for select in root.find_all(exp.Select)):
        yield Threat("sql.dump", "rows of a table for each of some numbers or groups: say of those which, or sum up")
    copied = root.expression if isinstance(root, exp.Insert) else None
    if grant.max_rows and isinstance(copied, exp.Query) and copied.find(exp.Table) and _is_dump(copied, grant):
        yield Threat("sql.dump", "an INSERT that copies a whole table")


def _collectors(root: exp.Expr) -> Iterator[exp.Select]:
    """Subqueries that make one value of many rows."""
    for select in root.find_all(exp.Select):
        gathers = any(_gathers(node) for each in select.expressions for node in each.walk())
        if select is not root and (gathers or isinstance(select.parent, exp.Array)):
            yield select


def _reads_for_each(select: exp.Select, grant: SqlGrant) -> bool:
    """It looks at a source around it of which no condition says how many rows there are.

    What only decides in a condition, or sums up, gives none of its own.
    """
    around = select.find_ancestor(exp.Select, exp.Where, exp.Having, exp.Exists, exp.CTE)
    if not isinstance(around, exp.Select) or _has_limit(around, grant) or _sums_up(select, grant):
        return False
    if all(is_listed(table) for table in select.find_all(exp.Table)):
        return False
    many = [source for source in sources(around) if not _is_picked(source, grant)]
    names, given = {source.alias_or_name for source in many}, {name for source in many for name in made(source)}
    columns = select.find_all(exp.Column)
    return any(column.table in names if column.table else column.name in given for column in columns)


def _is_picked(source: exp.Expr, grant: SqlGrant) -> bool:
    """Its rows are those of a table, chosen or counted; not numbers, nor groups."""
    query = query_of(source)
    if query is None or is_listed(source):
        return not is_listed(source)
    inner = query.unnest()
    grouped = inner.args.get("group") or inner.args.get("distinct")
    return not grouped or _has_limit(query, grant) or (isinstance(inner, exp.Select) and _chosen(inner, grant))


def _sums_all_up(source: exp.Expr, grant: SqlGrant) -> bool:
    """It has a group for whatever there is in a table, be it at first or at second hand."""
    query = query_of(source)
    if query is None:
        return False
    if _ALL not in query.meta:  # as in _is_dump
        query.meta[_ALL] = False  # if it reads itself
        query.meta[_ALL] = _has_all_groups(query, grant)
    return bool(query.meta[_ALL])


def _has_all_groups(query: exp.Expr, grant: SqlGrant) -> bool:
    inner = query.unnest()
    if _has_limit(query, grant) or _has_limit(inner, grant):
        return False
    if isinstance(inner, exp.SetOperation):
        return any(_has_all_groups(side, grant) for side in (inner.left, inner.right))
    if not isinstance(inner, exp.Select) or inner.args.get("having") or _chosen(inner, grant):
        return False
    grouped = inner.args.get("group") or inner.args.get("distinct")
    return bool(grouped and not _sources_choose(inner, grant)) or any(
        _sums_all_up(each, grant) for each in sources(inner)
    )


def _has_limit(query: exp.Expr, grant: SqlGrant) -> bool:
    limit = query.args.get("limit")
    return limit is not None and _counts(limit) and _at_most(limit, grant.max_rows)


def _booleans(grant: SqlGrant) -> bool:
    return grant.dialect == "postgres"


def _is_dump(query: exp.Expr, grant: SqlGrant) -> bool:
    if _DUMP not in query.meta:  # looked at once, however often it is read
        query.meta[_DUMP] = _gives_all(query, grant)
    return bool(query.meta[_DUMP])


def _gives_all(query: exp.Expr, grant: SqlGrant) -> bool:
    limit = query.args.get("limit")
    if limit is not None and _counts(limit):
        return not _at_most(limit, grant.max_rows)
    inner = query.unnest()
    if isinstance(inner, exp.SetOperation):
        return any(_is_dump(side, grant) for side in (inner.left, inner.right))
    if inner is not query:
        return _is_dump(inner, grant)
    if not isinstance(inner, exp.Select) or not inner.args.get("from_"):
        return False
    return not (_chosen(inner, grant) or _sums_up(inner, grant) or _sources_choose(inner, grant))


def _chosen(select: exp.Select, grant: SqlGrant) -> bool:
    """By conditions that say of every table which of its rows."""
    if not any(chooses(select.args.get(where), _booleans(grant)) for where in ("where", "prewhere")):
        return False
    return all(_is_narrow(source, grant) for source in loose(select, _booleans(grant)))


def _sources_choose(select: exp.Select, grant: SqlGrant) -> bool:
    """A read from subqueries and CTEs is as narrow as they are."""
    return all(_is_narrow(source, grant) for source in sources(select))


def _is_narrow(source: exp.Expr, grant: SqlGrant) -> bool:
    if isinstance(source, exp.Lateral):
        source = source.this
    if isinstance(source, exp.Subquery):
        return not _is_dump(source.this, grant)
    if not isinstance(source, exp.Table):
        return not isinstance(source, exp.Values) and not source.find(exp.Table)  # made of another one's row
    cte = cte_of(source)
    return cte is not None and cte is not source.find_ancestor(exp.CTE) and not _is_dump(cte.this, grant)


def _counts(limit: exp.Expr) -> bool:
    """Not ``LIMIT n BY``, which is so many of each group; nor one that lets equal rows in, or a part of all."""
    options = limit.args.get("limit_options")
    loose = options is not None and (options.args.get("with_ties") or options.args.get("percent"))
    return not limit.expressions and not loose


def _at_most(limit: exp.Expr, max_rows: int) -> bool:
    amount = limit.args.get("count") if isinstance(limit, exp.Fetch) else limit.expression
    return isinstance(amount, exp.Literal) and amount.is_int and 0 <= int(amount.this) <= max_rows


def _sums_up(select: exp.Select, grant: SqlGrant) -> bool:
    """Only aggregates and constants come out, or groups with some, or which values there are.

    But not aggregates that collect the rows, nor a group for each.
    """
    if any(_collects(node) for each in select.expressions for node in each.walk()):
        return False
    summed = [bool(each.find(exp.AggFunc) and not each.find(exp.Window)) for each in select.expressions]
    if select.args.get("group") and any(summed):
        return not narrow(select)
    if select.args.get("group") or select.args.get("distinct"):
        return kinds_of(select, grant)
    rest = (each for each, its in zip(select.expressions, summed, strict=True) if not its)
    return any(summed) and not any(each.find(exp.Column, exp.Query, exp.Window, exp.Explode) for each in rest)


def _collects(node: exp.Expr) -> bool:
    return _gathers(node) or (isinstance(node, exp.Star) and node.find_ancestor(exp.Count) is None)


def _gathers(node: exp.Expr) -> bool:
    named = isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg)
    return isinstance(node, _COLLECTING) or (named and called(node) in _COLLECTORS)
