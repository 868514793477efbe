"""Tables that a statement reads beside others, without a condition that says which of their rows.

``FROM orders o, customers c WHERE o.id = 3`` chooses one order, and gives all customers with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from gateway.filter.sql_where import chooses, equates
from gateway.filter.sql_withs import cte_of

_LISTED: Final = "listed"


def loose(node: exp.Expr, booleans: bool = True) -> Iterator[exp.Expr]:
    """The sources of a statement that no condition chooses from, nor ties to one from which another does.

    What is equal in two sources ties them; what else is said of two chooses in neither. A column without its table's
    name could be anybody's, and says nothing.

    Args:
        booleans: as of :func:`gateway.filter.sql_where.chooses`.
    """
    beside = list(sources(node))
    names = [source.alias_or_name for source in beside]
    if len(beside) < 2:
        return
    if len(set(names)) < len(names):
        yield from beside
        return
    groups, chosen = [{name} for name in names], set[str]()
    for tied in ties(node, beside, names):
        groups = _together(groups, tied)
    listed = {source.alias_or_name for source in beside if is_listed(source)}
    for condition in conditions(node):
        about = _named(condition)
        chosen |= about if len(about) == 1 and not about & listed and chooses(condition, booleans) else set()
    for name, source in zip(names, beside, strict=True):
        if not chosen.intersection(*(group for group in groups if name in group)):
            yield source


def sources(node: exp.Expr) -> Iterator[exp.Expr]:
    """All that a statement reads from, by FROM, USING and joins, but for what stands inside one of them."""
    from_ = node.args.get("from_")
    first = [node.this] if isinstance(node, exp.Update | exp.Delete) and node.this else []  # a MERGE's has none
    beside = [*first, *([from_.this] if from_ else []), *(node.args.get("using") or ())]
    for each in (*beside, *(join.this for join in joins(node))):
        inner = each.unnest() if isinstance(each, exp.Subquery) else each
        yield inner if isinstance(inner, exp.Table) else each  # brackets around a join


def is_listed(source: exp.Expr) -> bool:
    """Numbers and constants: what is said of them (``v.n = 1`` beside a LEFT JOIN) chooses from no table."""
    if isinstance(source, exp.Table):
        cte = cte_of(source)
        if cte is not None and _LISTED not in cte.meta:  # looked at once, however often it is read
            cte.meta[_LISTED] = all(each.name == cte.alias or is_listed(each) for each in cte.find_all(exp.Table))
        return cte is not None and bool(cte.meta[_LISTED])
    if not isinstance(source, exp.Subquery) and source.find(exp.Column):
        return False  # made of another one's row
    return all(is_listed(table) for table in source.find_all(exp.Table))


def _is_query(source: exp.Expr) -> bool:
    return isinstance(source, exp.Lateral) and isinstance(source.this, exp.Subquery)


def joins(node: exp.Expr) -> Iterator[exp.Join]:
    """The statement's own, and none of a statement inside it."""
    return (join for join in node.find_all(exp.Join) if around(join) is node)


def around(node: exp.Expr) -> exp.Expr | None:
    """The statement that it is part of, the innermost one."""
    return node.find_ancestor(exp.Select, exp.Update, exp.Delete)


def ties(node: exp.Expr, beside: list[exp.Expr], names: list[str]) -> Iterator[set[str]]:
    """Names of sources that belong together."""
    yield from (_named(condition) for condition in conditions(node) if _is_tie(condition))
    for join in joins(node):
        shared = join.args.get("using") or join.method in ("NATURAL", "ASOF")
        if shared and join.this.alias_or_name in names:
            at = names.index(join.this.alias_or_name)
            yield set(names[max(0, at - 1) : at + 1])
    for lateral in beside:
        for condition in conditions(lateral.this.this) if _is_query(lateral) else ():
            if _is_tie(condition):
                yield {lateral.alias_or_name} | (_named(condition) & set(names))


def conditions(node: exp.Expr) -> Iterator[exp.Expr]:
    """All that must hold at once."""
    wheres = (node.args.get(name) for name in ("where", "prewhere"))
    ons = (each.args.get("on") for each in (node, *joins(node)))  # of a MERGE, and of joins
    for each in (*(where.this for where in wheres if where), *ons):
        if each is not None:
            yield from each.unnest().flatten() if isinstance(each.unnest(), exp.And) else (each,)


def _is_tie(condition: exp.Expr) -> bool:
    """Two sources are equal in something."""
    condition = condition.unnest()
    if not equates(condition):
        return False
    left, right = map(_named, (condition.left, condition.right))
    return bool(left and right and not left & right)


def _named(condition: exp.Expr) -> set[str]:
    """The tables whose columns it looks at; not those of a statement inside it, though they be called the same."""
    inside = {table.alias_or_name for table in condition.find_all(exp.Table)}
    columns = [column for column in condition.find_all(exp.Column) if column.table]
    return {column.table for column in columns if around(column) is around(condition) or column.table not in inside}


def _together(groups: list[set[str]], tied: set[str]) -> list[set[str]]:
    apart = [group for group in groups if not group & tied]
    return [*apart, {name for group in groups if group & tied for name in group}]
