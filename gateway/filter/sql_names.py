"""Tables and columns of a statement, against a grant."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from fusebox.registry import SqlGrant
from gateway.filter.sql_calls import called
from gateway.filter.sql_merge import changes, inserts_all
from gateway.filter.threats import Threat

ALL = "*"


def tables(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """Tables that are not granted, and what stands where a table should."""
    own = _ctes(root)
    if any(isinstance(source.this, exp.Column) for source in root.find_all(exp.From)):
        yield Threat("sql.table", "a subquery in the place of an array, whose table cannot be told")
    for table in root.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            yield Threat("sql.function", f"{called(table.this) if table.this else 'nothing'} in the place of a table")
        elif table.args.get("alias") and table.args["alias"].columns:
            yield Threat("sql.column", "an alias that gives a table's columns other names")
        elif grant.columns(full_name(table)) is None and not _is_cte(table, own):
            yield Threat("sql.table", f"table {full_name(table)} is not granted")


def _ctes(root: exp.Expr) -> list[exp.CTE]:
    """The WITHs of the statement itself, in order; those of its subqueries are not followed."""
    places = (root, root.args.get("expression")) if isinstance(root, exp.Insert) else (root,)
    withs = (place.args.get("with_") for place in places if place is not None)
    return [cte for with_ in withs if with_ is not None for cte in with_.expressions]


def _is_cte(table: exp.Table, own: list[exp.CTE]) -> bool:
    """True when the name stands for a WITH and not for a table that is called the same.

    Inside a WITH only those before it have their names, and itself only when the WITH is recursive.
    """
    at = next((i for i, cte in enumerate(own) if cte is table.find_ancestor(exp.CTE)), None)
    if at is None and table.find_ancestor(exp.CTE):
        return False
    recursive = bool(own) and bool(own[0].parent and own[0].parent.args.get("recursive"))
    seen = own if at is None else own[: at + recursive]
    return not table.db and table.name in {cte.alias for cte in seen}


def cte_of(table: exp.Table) -> exp.CTE | None:
    """The WITH of the statement itself that the name stands for."""
    own = _ctes(table.root())
    return next((cte for cte in own if cte.alias == table.name), None) if _is_cte(table, own) else None


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
    yield from _joins(scope, granted)
    scalars = {cte.alias for cte in scope.expression.root().find_all(exp.CTE) if cte.args.get("scalar")}
    for column in (*scope.columns, *_overlooked(scope.expression)):
        if isinstance(column.this, exp.Star) or column.parent_select is not scope.expression:
            continue
        if column.table or not (column.name in scalars or _is_alias(column, scope, grant)):
            yield from _column(column.name, column.table, granted)


def _overlooked(select: exp.Expr) -> Iterator[exp.Column]:
    """Columns in clauses in which sqlglot's scopes look for none; of ClickHouse's ``WITH column AS name``, too."""
    for clause in (select.args.get("having"), select.args.get("qualify")):
        yield from clause.find_all(exp.Column) if clause else ()
    for cte in getattr(select, "ctes", ()):
        yield from cte.this.find_all(exp.Column) if cte.args.get("scalar") else ()


def _joins(scope: Scope, granted: dict[str, tuple[str, ...]]) -> Iterator[Threat]:
    """Columns that a join compares without naming their tables."""
    limited = [columns for columns in granted.values() if _limited(columns)]
    for join in scope.expression.args.get("joins") or ():
        if limited and join.method == "NATURAL":
            yield Threat("sql.column", "a NATURAL JOIN compares columns that are not granted")
        for used in join.args.get("using") or ():
            if any(used.name not in columns for columns in limited):
                yield Threat("sql.column", f"column {used.name} is not granted")


def _is_alias(column: exp.Column, scope: Scope, grant: SqlGrant) -> bool:
    """A name that the SELECT gave, where the database means that and not a column.

    Databases prefer a column of the same name in GROUP BY; they then refuse the statement, unless what has the name
    does not depend on columns, or is an aggregate.
    """
    named = next((each.this for each in scope.expression.expressions if each.alias == column.name), None)
    if named is None:
        return False
    if isinstance(column.parent, exp.Ordered):
        return True
    if column.find_ancestor(exp.Having, exp.Qualify):
        return grant.dialect != "postgres"
    return bool(column.find_ancestor(exp.Group) and named.find(exp.Column) and not named.find(exp.AggFunc))


def _sources(scope: Scope) -> dict[str, exp.Table | Scope]:
    """What a column of the scope may come from: its own tables, then those around a correlated subquery."""
    found: dict[str, exp.Table | Scope] = {}
    level: Scope | None = scope
    while level is not None:
        for name, source in level.sources.items():
            if name:  # what is LATERAL sees itself, without a name
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
    if name in granted and not table and _limited(granted[name]) and name not in granted[name]:
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


def _of_table(table: exp.Table, grant: SqlGrant) -> tuple[str, ...]:
    if cte := cte_of(table):
        return tuple(cte.alias_column_names or cte.this.named_selects)
    return grant.columns(full_name(table)) or ()


def _of_queries(root: exp.Expr) -> dict[str, tuple[str, ...]]:
    """What subqueries in the place of tables give, each by its name."""
    queries = (each for each in root.find_all(exp.Subquery) if each.alias and not each.find_ancestor(exp.Select))
    return {each.alias: tuple(each.alias_column_names or each.this.named_selects) for each in queries}


def _written(root: exp.Expr, grant: SqlGrant) -> Iterator[Threat]:
    """INSERT, UPDATE and DELETE: the columns they name, their own subqueries included."""
    target = root.find(exp.Table)
    its = (grant.columns(full_name(target)) or ()) if target else ()
    granted = {target.alias_or_name: its, "excluded": its} if target else {}  # what ON CONFLICT could not insert
    beside = [table for table in root.find_all(exp.Table) if not table.find_ancestor(exp.Select)]
    readable = {each.alias_or_name: _of_table(each, grant) for each in beside} | _of_queries(root) | granted
    changed = {id(column) for each in changes(root) for column in each.find_all(exp.Column)}  # of the target
    for query in root.find_all(exp.Select):
        if not query.find_ancestor(exp.Select):
            for scope in traverse_scope(query):
                yield from _in_scope(scope, grant)
    for column in root.find_all(exp.Column):
        if not column.find_ancestor(exp.Select) and not isinstance(column.this, exp.Star):
            bare = id(column) in changed and not column.table
            yield from _column(column.name, column.table, granted if bare else readable)
    named = root.this.expressions if isinstance(root, exp.Insert) and isinstance(root.this, exp.Schema) else []
    for identifier in named:
        yield from _column(identifier.name, "", granted)
    blind = isinstance(root, exp.Insert) and not named
    if (blind or inserts_all(root)) and any(map(_limited, granted.values())):
        yield Threat("sql.column", "an INSERT without its columns writes all of them")
    if root.args.get("returning") and root.args["returning"].find(exp.Star) and any(map(_limited, granted.values())):
        yield Threat("sql.column", "* reads columns that are not granted")
