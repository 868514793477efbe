"""Whose is a column that is written without its table? Databases look from the inside out, and take what comes first.

A table has columns that its grant does not name. So a name belongs to a source further out, or to a subquery beside,
only where no such table could have it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.scope import Scope

from fusebox.registry import SqlGrant
from gateway.filter.sql_withs import ancestors, cte_of, gives

ALL: Final = "*"
LISTS: Final = (exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple, exp.Paren)
"""Of what a GROUP BY names."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a column may come from."""

    columns: tuple[str, ...]
    """Those that are granted, or that a subquery gives; ``*`` for all that it has."""
    table: bool = False
    """A table of the database, and no subquery or WITH."""

    @property
    def hides(self) -> bool:
        """It may have columns that are not granted."""
        return self.table and ALL not in self.columns


Level = dict[str, Source]


def levels(scope: Scope, grant: SqlGrant) -> Iterator[Level]:
    """The sources that a scope sees: its own, then those around it.

    Raises:
        OptimizeError: two sources have one name.
    """
    level: Scope | None = scope
    seen = True
    while level is not None:
        if seen:  # what stands in a FROM does not see what stands beside it, but what is around
            yield _scalars(level) | _own(level, grant)
        seen = level.is_subquery or level.is_udtf
        level = level.parent if level.can_be_correlated else None


def full_name(table: exp.Table) -> str:
    """The table as the statement names it."""
    return ".".join(part.name for part in table.parts)


def of_table(table: exp.Table, grant: SqlGrant) -> Source:
    """What a name in the place of a table stands for."""
    cte = cte_of(table)
    return Source(gives(cte)) if cte else Source(grant.columns(full_name(table)) or (), table=True)


def _own(level: Scope, grant: SqlGrant) -> Level:
    if level.is_udtf:
        return {name: _source(source, grant) for name, source in level.lateral_sources.items()}
    found: Level = {}
    for at, (name, node) in enumerate(level.references):
        if name and name in found:
            raise OptimizeError("two sources have one name")
        source = node if isinstance(node, exp.Table) else level.sources.get(name) if name else None
        given = Source(tuple(getattr(node, "named_selects", (ALL,)))) if source is None else _source(source, grant)
        found[name or f" {at}"] = given
    return found


def _scalars(level: Scope) -> Level:
    """Names that ClickHouse's ``WITH expression AS name`` gives; it prefers them to columns."""
    given = tuple(cte.alias for cte in getattr(level.expression, "ctes", ()) if cte.args.get("scalar"))
    return {"": Source(given)} if given else {}


def _source(source: exp.Table | Scope, grant: SqlGrant) -> Source:
    if isinstance(source, exp.Table):
        return of_table(source, grant)
    cte = source.expression.find_ancestor(exp.CTE)
    if cte is not None and not (source.is_derived_table or source.is_udtf):
        return Source(gives(cte))
    names = tuple(getattr(source.expression, "named_selects", ())) or (ALL,)
    return Source((*source.outer_columns, *names[len(source.outer_columns) :]))


def may_name(name: str, seen: Iterable[Level], grant: SqlGrant) -> bool:
    """True when a name without a table is a granted column, whichever source the database takes it from."""
    found = []
    for level in seen:
        sources = list(level.values())
        named = next((source for source in sources if name in source.columns), None)
        if named is not None:
            before = sources[: sources.index(named)] if grant.dialect == "clickhouse" and not named.table else []
            return not any(source.hides for source in before)  # others refuse a name that two have
        if any(source.hides for source in sources):
            return False
        found += sources
    return not found or any(ALL in source.columns for source in found)


def is_alias(column: exp.Column, select: exp.Expr, grant: SqlGrant) -> bool:
    """A name that the SELECT gave, where the database means that and not a column.

    All but ClickHouse mean a column of a table wherever the name is part of an expression. In GROUP BY they prefer it,
    too; they then refuse the statement, unless what has the name can do without.
    """
    named = next((each.this for each in select.expressions if each.alias == column.name), None)
    if named is None:
        return False
    aliases_first = grant.dialect == "clickhouse"
    if _stands_in(column, "order", select):
        return aliases_first or isinstance(column.parent, exp.Ordered)
    if _stands_in(column, "distinct", select):
        return aliases_first or isinstance(column.parent, exp.Tuple)
    if _stands_in(column, "having", select) or _stands_in(column, "qualify", select):
        return grant.dialect != "postgres"
    group = select.args.get("group")
    if group is None or not _stands_in(column, "group", select) or named.find(exp.AggFunc):
        return False
    own = {each.name for each in named.find_all(exp.Column)}
    others = {each.name for each in group.find_all(exp.Column)} - {column.name}
    return bool(own) and (aliases_first or (isinstance(column.parent, LISTS) and not own & others))


def _stands_in(column: exp.Column, clause: str, select: exp.Expr) -> bool:
    holder = select.args.get(clause)
    return holder is not None and any(each is holder for each in ancestors(column))
