"""WITHs: which one a name stands for, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

WRITES: Final = (exp.Insert, exp.Update, exp.Delete, exp.Merge)


def cte_of(table: exp.Table) -> exp.CTE | None:
    """The WITH of the statement itself that the name stands for; those of its subqueries are not followed.

    Inside a WITH only those before it have their names, and itself only where it recurs. What is written to is always
    a table.
    """
    own, around = _ctes(table.root()), list(ancestors(table))
    if table.db or _is_target(table) or table.name in _shadows(around, own):
        return None
    at = next((i for i, cte in enumerate(own) if any(cte is each for each in around)), None)
    if at is None and any(isinstance(each, exp.CTE) for each in around):
        return None
    seen = own if at is None else own[: at + _recurs(own[at], around)]
    return next((cte for cte in seen if cte.alias == table.name), None)


def gives(cte: exp.CTE) -> tuple[str, ...]:
    """The names of its columns; ``*`` where it gives all of something."""
    made = cte.this
    if isinstance(made, WRITES):
        returned = made.args.get("returning")
        names = [each.output_name or "*" for each in returned.expressions] if returned else []
    else:
        names = list(getattr(made, "named_selects", ("*",)))
    renamed = cte.alias_column_names
    return (*renamed, *names[len(renamed) :])


def _ctes(root: exp.Expr) -> list[exp.CTE]:
    """In order; not ClickHouse's ``WITH expression AS name``, which stands for no table."""
    places = (root, root.args.get("expression")) if isinstance(root, exp.Insert) else (root,)
    withs = (place.args.get("with_") for place in places if place is not None)
    return [cte for with_ in withs if with_ is not None for cte in with_.expressions if not cte.args.get("scalar")]


def _is_target(table: exp.Table) -> bool:
    """It is what an INSERT, UPDATE, DELETE or MERGE writes to."""
    place: exp.Expr = table.parent if isinstance(table.parent, exp.Schema) else table
    return isinstance(place.parent, WRITES) and place.arg_key == "this"


def _shadows(around: list[exp.Expr], own: list[exp.CTE]) -> set[str]:
    """Names that WITHs of subqueries give."""
    withs = [with_ for each in around if (with_ := each.args.get("with_")) is not None]
    return {cte.alias for with_ in withs for cte in with_.expressions if not any(cte is each for each in own)}


def _recurs(cte: exp.CTE, around: list[exp.Expr]) -> bool:
    """In the second branch of what a recursive WITH is."""
    recursive = cte.parent is not None and bool(cte.parent.args.get("recursive"))
    return recursive and isinstance(cte.this, exp.SetOperation) and any(each is cte.this.expression for each in around)


def ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    """What it is part of, from the inside out."""
    above = node.parent
    while above is not None:
        yield above
        above = above.parent
