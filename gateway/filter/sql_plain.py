"""A statement in plainer words that mean the same, so that whoever judges it has fewer to know.

What stands in the place of a table and only counts, or lists constants, becomes a subquery of what it is made of. A
column of a condition gets the name of its table, where only one could have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp
from sqlglot.errors import SqlglotError

from fusebox.registry import SqlGrant
from gateway.filter.sql_beside import around, conditions, joins, sources
from gateway.filter.sql_calls import called
from gateway.filter.sql_owners import ALL, full_name
from gateway.filter.sql_withs import cte_of

_MOST_ROWS: Final = 10_000
_MOST_TOGETHER: Final = 1_000_000
"""Rows that all of a statement's numbers make with each other, as a join of them does."""
_MOST_TIMES: Final = 1_000
_MOST_NAMES: Final = 30
_UNITS: Final = frozenset({"hour", "day", "week", "month", "quarter", "year"})
"""Of steps from one time to another; of smaller ones there are too many."""


def plainer(root: exp.Expr, grant: SqlGrant) -> exp.Expr:
    """The statement, changed in place."""
    together = 1
    for table in list(root.find_all(exp.Table)):
        names = _counted(table)
        together *= _size(table.this) if names else 1
        if names and together <= _MOST_TOGETHER:
            table.replace(_subquery(table, names, [exp.Tuple(expressions=list(table.this.iter_expressions()))]))
    for values in list(root.find_all(exp.Values)):
        if isinstance(values.parent, exp.From | exp.Join | exp.Merge) and (given := values.alias_column_names):
            listed = [exp.Tuple(expressions=list(each)) for each in zip(*_lines(values), strict=False)]
            if len(listed) == len(given):
                values.replace(_subquery(values, given, listed))
    for node in list(root.find_all(exp.Select, exp.Update, exp.Delete)):
        if grant.dialect == "clickhouse" and isinstance(node, exp.Select):
            _spell_out(node)
        _tell_whose(node, grant)
    return root


def _subquery(source: exp.Expr, names: list[str], columns: list[exp.Tuple]) -> exp.Subquery:
    """All that the source is made of stays in it, for others to look at."""
    told = [exp.alias_(column, name, quoted=True) for name, column in zip(names, columns, strict=True)]
    alias = exp.TableAlias(this=exp.to_identifier(source.alias or called(source.this), quoted=True))
    return exp.Subquery(this=exp.Select(expressions=told), alias=alias)


def _lines(values: exp.Values) -> Iterator[list[exp.Expr]]:
    """Of MySQL's ``VALUES ROW(…)``, too."""
    for line in values.expressions:
        row = line.expressions[0] if len(line.expressions) == 1 else line
        yield row.expressions if isinstance(row, exp.Anonymous) and called(row) == "row" else line.expressions


def _counted(table: exp.Table) -> list[str]:
    """The column of a table that counts numbers or days, and not without end; none for any other."""
    of, named = table.this, table.alias_column_names
    if isinstance(of, exp.Anonymous) and called(of) == "numbers" and _few(of.expressions):
        return ["number"]
    if isinstance(of, exp.ExplodingGenerateSeries | exp.GenerateSeries) and _ends(of):
        return named[:1] or [table.alias or "generate_series"]
    return []


def _ends(series: exp.Expr) -> bool:
    step = series.args.get("step")
    if isinstance(step, exp.Literal) and step.is_string:
        step = exp.maybe_parse(f"INTERVAL '{step.this}'", dialect="postgres") if step.this.isascii() else None
    if not isinstance(step, exp.Interval):
        return _few([series.args["start"], series.args["end"], *([step] if step else [])])
    forever = any(text.is_string and "inf" in text.this.lower() for text in series.find_all(exp.Literal))
    amount = step.this.name if step.this else ""
    return amount.isdigit() and int(amount) > 0 and str(step.unit).lower().rstrip("s") in _UNITS and not forever


def _size(counting: exp.Expr) -> int:
    """How many rows it makes, about; of times as many as people look at."""
    numbers = [int(n.this) for n in counting.iter_expressions() if isinstance(n, exp.Literal) and n.is_int]
    return max(1, *numbers) if numbers else _MOST_TIMES


def _few(numbers: list[exp.Expr]) -> bool:
    return all(isinstance(n, exp.Literal) and n.is_int and int(n.this) <= _MOST_ROWS for n in numbers)


def _spell_out(select: exp.Select) -> None:
    """What names stand for that the SELECT gives: ClickHouse prefers them to columns, in conditions too.

    Raises:
        SqlglotError: there are more of them than people write.
    """
    aliases = (alias for each in select.expressions for alias in each.find_all(exp.Alias))
    given = {alias.alias: alias.this for alias in aliases if around(alias) is select}
    given |= {cte.alias: cte.this for cte in select.ctes if cte.args.get("scalar")}
    for name, meant in given.items():
        for column in meant.find_all(exp.Column):
            column.meta["own"] = column.name == name
    for _ in range(_MOST_NAMES):
        used = (column for each in conditions(select) for column in each.find_all(exp.Column))
        names = (c for c in used if c.name in given and not (c.table or c.meta.get("own")) and around(c) is select)
        name = next(names, None)
        if name is None:
            return
        name.replace(exp.paren(given[name.name].copy()))
    raise SqlglotError("names of names of names")


def _tell_whose(node: exp.Expr, grant: SqlGrant) -> None:
    """Names that the SELECT gives are left: what they mean in a condition, databases do not agree on."""
    beside = {source.alias_or_name: source for source in sources(node)}
    columns = [(name, _columns(source, grant)) for name, source in beside.items()]
    vague = any(
        isinstance(beside[name], exp.Table) and ALL not in its for name, its in columns
    )  # has more than granted
    selected = node.expressions if isinstance(node, exp.Select) else ()
    given = {each.alias for each in selected if isinstance(each, exp.Alias)}
    merged = {used.name for join in joins(node) for used in join.args.get("using") or ()}
    for column in [column for each in conditions(node) for column in each.find_all(exp.Column)]:
        if column.table or column.name in given or around(column) is not node or len(columns) < 2:
            continue
        naming = [name for name, its in columns if column.name in its]
        having = naming or [name for name, its in columns if ALL in its and not vague]
        sure = len(having) == 1 or (naming and column.name in merged)
        if grant.dialect == "clickhouse" and vague and having and _is_made(beside[having[0]]):
            continue  # where two have the name, ClickHouse takes the first one's
        if sure and isinstance(beside[having[0]], exp.Table | exp.Subquery):
            column.set("table", exp.to_identifier(having[0], quoted=True))


def _is_made(source: exp.Expr) -> bool:
    return not isinstance(source, exp.Table) or cte_of(source) is not None


def _columns(source: exp.Expr, grant: SqlGrant) -> tuple[str, ...]:
    """What a source is known to have; ``*`` where it may have anything."""
    if source.alias_column_names:
        return tuple(source.alias_column_names)
    if isinstance(source, exp.Subquery):
        return tuple(source.this.named_selects) if isinstance(source.this, exp.Query) else (ALL,)
    if not isinstance(source, exp.Table):
        return (source.alias,) if source.alias else (ALL,)
    if cte := cte_of(source):
        return tuple(cte.alias_column_names or getattr(cte.this, "named_selects", (ALL,)))
    return grant.columns(full_name(source)) or (ALL,)
