"""Tables and columns of a statement, against a grant."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from fusebox.registry import SqlGrant
from gateway.filter.sql_calls import called
from gateway.filter.threats import Threat

ALL = "*"


def tables(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """Tables that are not granted, and what stands where a table should."""
    own = {cte.alias for cte in root.find_all(exp.CTE)}
    for table in root.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            yield Threat("sql.function", f"{called(table.this) if table.this else 'nothing'} in the place of a table")
        elif not (table.name in own and not table.db) and grant.columns(full_name(table)) is None:
            yield Threat("sql.table", f"table {full_name(table)} is not granted")


def full_name(table: exp.Table) -> str:
    """The table as the statement names it."""
    return ".".join(part.name for part in table.parts)


def columns(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """Columns that are not granted, stars that would read such, and rows taken whole."""
    if not any(ALL not in granted for granted in grant.tables.values()):
        return
    if isinstance(root, exp.Query):
        for scope in traverse_scope(root):
            yield from _in_scope(scope, grant)
    else:
        yield from _written(root, grant)


def _in_scope(scope: Scope, grant: SqlGrant) -> Iterator[Threat]:
    sources = _sources(scope)
    granted = {name: _granted(source, grant) for name, source in sources.items()}
    yield from _stars(scope, {name: granted[name] for name, source in sources.items() if isinstance(source, exp.Table)})
    own = {each.alias for each in scope.expression.expressions if each.alias}
    scalars = {cte.alias for cte in scope.expression.root().find_all(exp.CTE) if cte.args.get("scalar")}
    for column in scope.columns:
        if isinstance(column.this, exp.Star) or column.parent_select is not scope.expression:
            continue
        sorted_by_alias = column.name in own and column.find_ancestor(exp.Order, exp.Having, exp.Group)
        if column.table or not (sorted_by_alias or column.name in scalars):
            yield from _column(column.name, column.table, granted)


def _sources(scope: Scope) -> dict[str, exp.Table | Scope]:
    """What a column of the scope may come from: its own tables, then those around a correlated subquery."""
    found: dict[str, exp.Table | Scope] = {}
    level: Scope | None = scope
    while level is not None:
        for name, source in level.sources.items():
            found.setdefault(name, source)
        level = level.parent if level.is_correlated_subquery or level.is_subquery or level.is_udtf else None
    return found


def _granted(source: exp.Table | Scope, grant: SqlGrant) -> tuple[str, ...]:
    if isinstance(source, Scope):
        return tuple(getattr(source.expression, "named_selects", ())) or (ALL,)
    return grant.columns(full_name(source)) or ()


def _limited(granted: tuple[str, ...]) -> bool:
    return ALL not in granted


def _stars(scope: Scope, granted: dict[str, tuple[str, ...]]) -> Iterator[Threat]:
    for star in scope.expression.find_all(exp.Star):
        if isinstance(star.parent, exp.Count) or star.find_ancestor(exp.Select) is not scope.expression:
            continue
        of = star.parent.table if isinstance(star.parent, exp.Column) else ""
        if _limited(granted[of]) if of in granted else any(map(_limited, granted.values())):
            yield Threat("sql.column", "* reads columns that are not granted")


def _column(name: str, table: str, granted: dict[str, tuple[str, ...]]) -> Iterator[Threat]:
    if name in granted and not table and _limited(granted[name]):
        yield Threat("sql.column", f"{name} is a whole row")
        return
    if table:
        allowed = granted.get(table)
        if allowed is None or not (ALL in allowed or name in allowed):
            yield Threat("sql.column", f"column {table}.{name} is not granted")
    elif not _unqualified(name, granted):
        yield Threat("sql.column", f"column {name} is not granted, or could be another table's: name its table")


def _unqualified(name: str, granted: dict[str, tuple[str, ...]]) -> bool:
    """Granted by its name somewhere, or wherever it comes from."""
    return any(name in columns for columns in granted.values()) or all(ALL in columns for columns in granted.values())


def _written(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """INSERT, UPDATE and DELETE: the columns they name, their own subqueries included."""
    target = root.find(exp.Table)
    granted = {(target.alias_or_name): grant.columns(full_name(target)) or ()} if target else {}
    for query in root.find_all(exp.Select):
        if not query.find_ancestor(exp.Select):
            for scope in traverse_scope(query):
                yield from _in_scope(scope, grant)
    for column in root.find_all(exp.Column):
        if not column.find_ancestor(exp.Select) and not isinstance(column.this, exp.Star):
            yield from _column(column.name, column.table, granted)
    named = root.this.expressions if isinstance(root, exp.Insert) and isinstance(root.this, exp.Schema) else []
    for identifier in named:
        yield from _column(identifier.name, "", granted)
    if isinstance(root, exp.Insert) and not named and any(map(_limited, granted.values())):
        yield Threat("sql.column", "an INSERT without its columns writes all of them")
    if root.args.get("returning") and root.args["returning"].find(exp.Star) and any(map(_limited, granted.values())):
        yield Threat("sql.column", "* reads columns that are not granted")
