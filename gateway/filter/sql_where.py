"""Does a condition really choose rows? ``1 = 1``, ``id > 0`` and ``name LIKE '%'`` do not."""

from __future__ import annotations

from sqlglot import exp


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
            isinstance(condition.this, exp.In | exp.Like | exp.Is) and not _open(condition.this, negated=True)
        )
    if isinstance(condition, exp.Exists):
        return chooses(condition.this.args.get("where"), booleans)
    if isinstance(condition, exp.Column):
        return booleans
    return condition.find(exp.Column) is not None and not _open(condition)


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
    return inner.find(exp.Column) is None or _same_on_both_sides(inner)


def _open(leaf: exp.Expr, negated: bool = False) -> bool:
    """A condition that nearly every row meets."""
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
        return _same_on_both_sides(leaf) or (_plain(leaf.this) and _small(leaf.expression))
    if isinstance(leaf, exp.LT | exp.LTE):
        return _same_on_both_sides(leaf) or (_plain(leaf.expression) and _small(leaf.this))
    if isinstance(leaf, exp.EQ | exp.NullSafeEQ):
        both = isinstance(leaf.left, exp.Column) and isinstance(leaf.right, exp.Column)
        return both or bool(_own_columns(leaf.left) & _own_columns(leaf.right))
    return False


def _narrow(query: exp.Expr) -> bool:
    return (
        chooses(query.args.get("where")) or query.args.get("limit") is not None or query.args.get("having") is not None
    )


def _own_columns(side: exp.Expr) -> set[str]:
    """Columns of a side, but for those of subqueries that read tables."""
    reading = [select for select in side.find_all(exp.Select) if select.args.get("from_")]
    return {c.name for c in side.find_all(exp.Column) if not any(c.parent_select is select for select in reading)}


def _plain(side: exp.Expr) -> bool:
    return isinstance(side.unnest(), exp.Column | exp.Length | exp.Abs)


def _same_on_both_sides(leaf: exp.Expr) -> bool:
    return isinstance(leaf, exp.Binary) and leaf.left == leaf.right


def _matches_all(pattern: exp.Expr) -> bool:
    return not isinstance(pattern, exp.Literal) or not str(pattern.this).strip("%_.*^$ ")


def _small(bound: exp.Expr) -> bool:
    """A number of one at most, or an empty text."""
    value = bound.unnest()
    if isinstance(value, exp.Neg):
        return True
    if not isinstance(value, exp.Literal):
        return False
    return not value.this if value.is_string else float(value.this) <= 1
