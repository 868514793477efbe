"""Does a condition really choose rows? ``1 = 1``, ``id > 0``, ``id * 0 = 0`` and ``name LIKE '%'`` do not."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeGuard

from sqlglot import exp

from gateway.filter.sql_calls import called

_BACK: Final[Mapping[type[exp.Expr], Callable[[float, float], float]]] = {
    exp.Add: operator.sub, exp.Sub: operator.add,
    exp.Mul: operator.truediv, exp.Div: operator.mul, exp.IntDiv: operator.mul,
}  # fmt: skip
"""What brings a number over to the other side of a comparison."""
_ALIKE: Final = frozenset({"ifnull", "assumenotnull", "tonullable", "isnotnull", "notempty"})
"""Functions that say of nearly every row what their first argument says."""
_OF_TWO: Final = (exp.Case, exp.If, exp.Sign, exp.Not, exp.Is, exp.In, exp.Between, exp.GT, exp.GTE, exp.LT, exp.LTE)
"""What has few values, and so is equal for many rows: ``(o.id > 0) = (c.id > 0)``."""

_CHOOSES: Final = "chooses"


def chooses(condition: exp.Expr | None, booleans: bool = True) -> bool:
    """True when a WHERE leaves out rows for a reason.

    Constants, a column compared with itself, joins and conditions that nearly every row meets choose nothing; an OR
    chooses only when both sides do.

    Args:
        booleans: a bare column is a boolean. Where every number is one too, ``WHERE id`` chooses nothing.
    """
    if condition is None:
        return False
    if isinstance(condition, exp.Where | exp.Paren):
        return chooses(condition.this, booleans)
    if isinstance(condition, exp.And):
        return chooses(condition.left, booleans) or chooses(condition.right, booleans)
    if isinstance(condition, exp.Or | exp.Xor):
        return chooses(condition.left, booleans) and chooses(condition.right, booleans)
    if isinstance(condition, exp.Not):
        return isinstance(condition.this, exp.Column) or (
            isinstance(condition.this, exp.In | exp.Like | exp.Is)
            and decided(condition.this)
            and not _open(condition.this, negated=True)
        )
    if isinstance(condition, exp.Exists):
        if _CHOOSES not in condition.meta:  # looked at once: each one around it asks twice
            condition.meta[_CHOOSES] = _one_chooses(condition.this, booleans)
        return bool(condition.meta[_CHOOSES])
    if _plain(condition) or isinstance(condition, (*_BACK, exp.BitwiseOr, exp.BitwiseXor)):
        return booleans
    return decided(condition) and not _open(condition)


def always(condition: exp.Expr | None) -> bool:
    """True when one side of an OR is a constant or the like: the mark of an injected OR."""
    if condition is None:
        return False
    return any(
        _constant(side) for either in condition.find_all(exp.Or, exp.Xor) for side in (either.left, either.right)
    )


def _constant(side: exp.Expr) -> bool:
    """No column decides it, or the same one stands on both sides."""
    inner = side.unnest()
    return not decided(inner) or _same_on_both_sides(inner)


def decided(node: exp.Expr) -> bool:
    """Some column makes a difference: not in ``id * 0``, ``id % 1`` or ``id - id``."""
    if isinstance(node, exp.Anonymous) and called(node) == "modulo" and len(node.expressions) > 1:
        return decided(exp.Mod(this=node.expressions[0].copy(), expression=node.expressions[1].copy()))
    if isinstance(node, exp.Explode):
        return False  # it is so many rows, of which one may meet anything
    if isinstance(node, exp.Query):
        return _looks_around(node, node)
    by = _number(node.expression) if isinstance(node, exp.Binary) else None
    if isinstance(node, exp.Mul | exp.BitwiseAnd) and 0 in (by, _number(node.this)):
        return False
    if (isinstance(node, exp.Mod) and by in (1, -1)) or (isinstance(node, exp.Pow) and by == 0):
        return False
    if isinstance(node, exp.Sub | exp.Div | exp.IntDiv | exp.BitwiseXor) and _same_on_both_sides(node):
        return False
    return isinstance(node, exp.Column) or any(map(decided, node.iter_expressions()))


def equates(condition: exp.Expr) -> TypeGuard[exp.Binary]:
    """Two sides are equal, both of which say much: neither is ``id > 0``, or the like, which is equal for many rows."""
    if not isinstance(condition, exp.EQ | exp.NullSafeEQ):
        return False
    return all(map(decided, (condition.left, condition.right))) and not condition.find(*_OF_TWO)


def _one_chooses(query: exp.Expr, booleans: bool) -> bool:
    """That there is a row of a query leaves out rows around it."""
    where = query.args.get("where")
    return where is not None and _relates(where.this, query, booleans) and chooses(where, booleans)


def _relates(condition: exp.Expr, query: exp.Expr, booleans: bool) -> bool:
    """A row around the query matters to it: it is compared with the query's own, or not every one will do."""
    condition = condition.unnest()
    if isinstance(condition, exp.And | exp.Or | exp.Xor):
        sides = [_relates(side, query, booleans) for side in (condition.left, condition.right)]
        return any(sides) if isinstance(condition, exp.And) else all(sides)
    if equates(condition) and _looks_around(condition.left, query) != _looks_around(condition.right, query):
        return True
    return _looks_around(condition, query) and chooses(condition, booleans)


def _looks_around(node: exp.Expr, query: exp.Expr) -> bool:
    """What stands in a query says another thing for each row around it: it names a column of a table not its own."""
    return _any_around(node.find_all(exp.Column), query)


def _any_around(columns: Iterable[exp.Column], query: exp.Expr) -> bool:
    own = {source.alias_or_name for source in query.find_all(exp.Table, exp.Subquery, exp.UDTF)}
    return any(column.table and column.table not in own for column in columns)


def _open(leaf: exp.Expr, negated: bool = False) -> bool:
    """A condition that nearly every row meets."""
    compared = leaf.args.get("expression")
    if isinstance(compared, exp.Any | exp.All) and (listed := compared.find(exp.Query)):
        return isinstance(leaf, exp.NEQ) or not _narrow(listed.unnest())
    if isinstance(leaf, exp.Is):
        return negated != bool(leaf.args.get("negate")) and isinstance(leaf.expression, exp.Null)
    if isinstance(leaf, exp.In):
        inner = leaf.args.get("query")
        return leaf.this in leaf.expressions or (inner is not None and (negated or not _narrow(inner.unnest())))
    if isinstance(leaf, exp.Between):
        return leaf.this in (leaf.args["low"], leaf.args["high"])
    if isinstance(leaf, exp.Like | exp.ILike | exp.RegexpLike | exp.SimilarTo):
        return not negated and _matches_all(leaf.expression)
    if isinstance(leaf, exp.GT | exp.GTE | exp.NEQ):
        return _same_on_both_sides(leaf) or _above(leaf.this, leaf.expression)
    if isinstance(leaf, exp.LT | exp.LTE):
        return _same_on_both_sides(leaf) or _above(leaf.expression, leaf.this)
    if isinstance(leaf, exp.EQ | exp.NullSafeEQ):
        both = isinstance(leaf.left, exp.Column) and isinstance(leaf.right, exp.Column)
        return both or bool(_own_columns(leaf.left) & _own_columns(leaf.right))
    return False


def _narrow(query: exp.Expr) -> bool:
    """It gives few values, and none of the row that is compared with them: each row would meet itself."""
    given = (column for each in getattr(query, "selects", ()) for column in each.find_all(exp.Column))
    return not _any_around(given, query) and (
        chooses(query.args.get("where")) or query.args.get("limit") is not None or query.args.get("having") is not None
    )


def _own_columns(side: exp.Expr) -> set[str]:
    """Columns of a side, but for those of subqueries that read tables."""
    reading = [select for select in side.find_all(exp.Select) if select.args.get("from_")]
    return {c.name for c in side.find_all(exp.Column) if not any(c.parent_select is select for select in reading)}


def _plain(side: exp.Expr) -> bool:
    """A column, or what is above a bound whenever it is."""
    side = side.unnest()
    if isinstance(side, exp.Length | exp.Abs | exp.Coalesce | exp.Cast):
        return _plain(side.this)
    if isinstance(side, exp.Anonymous) and called(side) in _ALIKE:
        return bool(side.expressions) and _plain(side.expressions[0])
    return isinstance(side, exp.Column)


def _above(side: exp.Expr, bound: exp.Expr) -> bool:
    """Nearly every row is: ``id > 0``, ``id + 5 > 3``, ``2 * id > 1``."""
    side, least = side.unnest(), _number(bound)
    while least is not None and type(side) in _BACK:
        column, by = side.this, _number(side.expression)
        if by is None and isinstance(side, exp.Add | exp.Mul):
            column, by = side.expression, _number(side.this)
        if by is None or (by <= 0 and not isinstance(side, exp.Add | exp.Sub)):
            return False
        least, side = _BACK[type(side)](least, by), column.unnest()
    return _plain(side) and (_small(bound) if least is None else least <= 1)


def _same_on_both_sides(leaf: exp.Expr) -> bool:
    return isinstance(leaf, exp.Binary) and leaf.left == leaf.right


def _matches_all(pattern: exp.Expr) -> bool:
    return not isinstance(pattern, exp.Literal) or not str(pattern.this).strip("%_.*^$ ")


def _small(bound: exp.Expr) -> bool:
    """Something negative, or an empty text."""
    value = bound.unnest()
    return isinstance(value, exp.Neg) or (isinstance(value, exp.Literal) and value.is_string and not value.this)


def _number(side: exp.Expr) -> float | None:
    """The number that is written there."""
    value = side.unnest()
    if isinstance(value, exp.Neg):
        of = _number(value.this)
        return None if of is None else -of
    return float(value.this) if isinstance(value, exp.Literal) and not value.is_string else None
