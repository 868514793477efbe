"""Tables and columns of a statement, against a grant."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import TypeVar

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from fusebox.registry import SqlGrant
from gateway.filter.sql_calls import called
from gateway.filter.sql_merge import changes, writes_all
from gateway.filter.sql_owners import ALL, Level, Source, full_name, is_alias, levels, may_name, of_table
from gateway.filter.sql_withs import WRITES, ancestors, cte_of
from gateway.filter.threats import Threat

Node = TypeVar("Node", bound=exp.Expr)


def tables(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """Tables that are not granted, and what stands where a table should."""
    if any(isinstance(source.this, exp.Column) for source in root.find_all(exp.From)):
        yield Threat("sql.table", "a subquery in the place of an array, whose table cannot be told")
    for table in root.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            yield Threat("sql.function", f"{called(table.this) if table.this else 'nothing'} in the place of a table")
        elif table.args.get("alias") and table.args["alias"].columns:
            yield Threat("sql.column", "an alias that gives a table's columns other names")
        elif grant.columns(full_name(table)) is None and cte_of(table) is None:
            yield Threat("sql.table", f"table {full_name(table)} is not granted")


def columns(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """Columns that are not granted, stars that would read such, and rows taken whole."""
    if not any(ALL not in granted for granted in grant.tables.values()):
        return
    if any(each.find(exp.Query) for each in root.find_all(exp.Lambda)):
        yield Threat("sql.column", "a subquery in a lambda, whose names could be those of columns")
    if isinstance(root, exp.Query):
        for scope in traverse_scope(root):
            yield from _in_scope(scope, grant)
    for write in root.find_all(*WRITES):
        if not isinstance(write.parent, exp.When):
            yield from _written(write, grant)


def _in_scope(scope: Scope, grant: SqlGrant, around: Level | None = None) -> Iterator[Threat]:
    """
    Args:
        around: what a statement that writes has, for a subquery of its own.
    """
    seen = [*levels(scope, grant), *([around] if around is not None else [])]
    yield from _stars(scope, seen)
    yield from _joins(scope, seen[0])
    for column in (*scope.columns, *_overlooked(scope.expression)):
        if isinstance(column.this, exp.Star) or column.parent_select is not scope.expression:
            continue
        if column.table or not is_alias(column, scope.expression, grant):
            yield from _column(column, seen, grant)


def _overlooked(select: exp.Expr) -> Iterator[exp.Column]:
    """Columns in clauses in which sqlglot's scopes look for none; of ClickHouse's ``WITH column AS name``, too."""
    for clause in map(select.args.get, ("having", "qualify", "order", "distinct")):
        yield from clause.find_all(exp.Column) if isinstance(clause, exp.Expr) else ()
    for cte in getattr(select, "ctes", ()):
        yield from cte.this.find_all(exp.Column) if cte.args.get("scalar") else ()


def _joins(scope: Scope, own: Level) -> Iterator[Threat]:
    """Columns that a join compares without naming their tables."""
    limited = [source.columns for source in own.values() if _limited(source.columns)]
    for join in scope.expression.args.get("joins") or ():
        if limited and join.method == "NATURAL":
            yield Threat("sql.column", "a NATURAL JOIN compares columns that are not granted")
        for used in join.args.get("using") or ():
            if any(used.name not in columns for columns in limited):
                yield Threat("sql.column", f"column {used.name} is not granted")


def _limited(granted: tuple[str, ...]) -> bool:
    return ALL not in granted


def _stars(scope: Scope, seen: list[Level]) -> Iterator[Threat]:
    for star in scope.expression.find_all(exp.Star):
        if isinstance(star.parent, exp.Count) or star.find_ancestor(exp.Select) is not scope.expression:
            continue
        of = star.parent.table if isinstance(star.parent, exp.Column) else ""
        read = [_called(of, seen)] if of else seen[0].values()
        if any(source is not None and source.hides for source in read):
            yield Threat("sql.column", "* reads columns that are not granted")


def _called(name: str, seen: list[Level]) -> Source | None:
    """The source of that name, the innermost one."""
    return next((level[name] for level in seen if name and name in level), None)


def _column(column: exp.Expr, seen: list[Level], grant: SqlGrant) -> Iterator[Threat]:
    name, table = column.name, column.text("table")
    row = _called(name, seen)
    if row is not None and not table and ALL not in row.columns and name not in row.columns:
        yield Threat("sql.column", f"{name} is a whole row")
    elif table:
        source = _called(table, seen)
        if source is None or not (ALL in source.columns or name in source.columns):
            yield Threat("sql.column", f"column {table}.{name} is not granted")
    elif not may_name(name, seen, grant):
        yield Threat("sql.column", f"column {name} is not granted, or could be another table's: name its table")


def _outside(write: exp.Expr, kind: type[Node]) -> Iterator[Node]:
    """Nodes that are in no query and in no other statement inside it."""
    for node in write.find_all(kind):
        inner = takewhile(lambda each: each is not write, ancestors(node))
        if not any(isinstance(each, (exp.Select, *WRITES)) and not isinstance(each.parent, exp.When) for each in inner):
            yield node


def _of_queries(write: exp.Expr) -> Level:
    """What subqueries in the place of tables give, each by its name."""
    queries = (each for each in _outside(write, exp.Subquery) if each.alias)
    return {each.alias: Source(tuple(each.alias_column_names or each.this.named_selects)) for each in queries}


def _is_value(query: exp.Expr) -> bool:
    """A subquery that sees the row which is written; none in the place of a table does, nor what an INSERT copies."""
    inner = query
    while isinstance(inner.parent, exp.Subquery | exp.SetOperation):
        inner = inner.parent
    place = inner.parent
    copied = isinstance(place, exp.Insert) and place.expression is inner
    return not (copied or isinstance(place, exp.From | exp.Join | exp.CTE) or inner.arg_key == "using")


def _written(write: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """INSERT, UPDATE and DELETE: the columns they name, their own subqueries included."""
    target = write.find(exp.Table)
    its = of_table(target, grant) if target else Source(())
    granted: Level = {target.alias_or_name: its, "excluded": its} if target else {}  # what ON CONFLICT could not insert
    beside = {each.alias_or_name: of_table(each, grant) for each in _outside(write, exp.Table)}
    readable = beside | _of_queries(write) | granted
    changed = {id(column) for each in changes(write) for column in each.find_all(exp.Column)}  # of the target
    for query in _outside(write, exp.Select):
        for scope in traverse_scope(query):
            yield from _in_scope(scope, grant, readable if _is_value(query) else None)
    for column in _outside(write, exp.Column):
        if not isinstance(column.this, exp.Star):
            bare = id(column) in changed and not column.table
            yield from _column(column, [granted if bare else readable], grant)
    named = write.this.expressions if isinstance(write, exp.Insert) and isinstance(write.this, exp.Schema) else []
    for identifier in named:
        yield from _column(identifier, [granted], grant)
    blind = isinstance(write, exp.Insert) and not named
    if (blind or writes_all(write)) and its.hides:
        yield Threat("sql.column", "an INSERT without its columns writes all of them")
    if write.args.get("returning") and write.args["returning"].find(exp.Star) and its.hides:
        yield Threat("sql.column", "* reads columns that are not granted")
