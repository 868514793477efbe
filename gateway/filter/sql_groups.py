"""Groups that are as narrow as rows: a GROUP BY that sums nothing up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from gateway.filter.sql_calls import called

_MOST_COLUMNS: Final = 3
"""A summary by more columns than these is a table."""
_LISTS: Final = (exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple, exp.Paren)
_KEYS: Final = frozenset({"id", "_id", "uuid", "guid", "rowid", "ctid", "oid"})
_NUMBERING: Final = frozenset(
    ("rownumberinallblocks", "rownumberinblock", "rand", "rand32", "rand64", "random", "uuid", "gen_random_uuid")
    + ("generateuuidv4", "generateuuidv7")
)


def narrow(select: exp.Select) -> bool:
    """True when each group is a row or nearly so: grouped by its key, by a number of its own, or by many columns."""
    group, meant = select.args["group"], list(_meant(select))
    nodes = [node for each in (group, *meant) for node in each.walk()]
    if any(isinstance(node, exp.Star) or called(node) in _NUMBERING for node in nodes):
        return True
    written, behind = _columns(group), {name for each in meant for name in _columns(each)}
    source = select.args["from_"].this.name
    given = {each.alias for each in select.expressions if isinstance(each, exp.Alias)}
    return any(_is_key(name, source) for name in written | behind) or len(behind | written - given) > _MOST_COLUMNS


def _meant(select: exp.Select) -> Iterator[exp.Expr]:
    """What positions and names in a GROUP BY stand for."""
    group, chosen = select.args["group"], [each.unalias() for each in select.expressions]
    if group.args.get("all"):
        yield from (each for each in chosen if not each.find(exp.AggFunc))
    for place in group.find_all(exp.Literal):
        if isinstance(place.parent, _LISTS) and place.is_int and 0 < int(place.this) <= len(chosen):
            yield chosen[int(place.this) - 1]
    names = _columns(group)
    yield from (each.this for each in select.expressions if isinstance(each, exp.Alias) and each.alias in names)


def _columns(node: exp.Expr) -> set[str]:
    return {column.name for column in node.find_all(exp.Column)}


def _is_key(name: str, table: str) -> bool:
    """``id``, or ``order_id`` of ``orders``."""
    own, _, kind = name.lower().rpartition("_")
    return name.lower() in _KEYS or bool(own and kind in _KEYS and table.lower().startswith(own))
