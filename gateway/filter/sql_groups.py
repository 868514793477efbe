"""Groups: those that are as narrow as rows, and those that say which values there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from fusebox.registry import SqlGrant
from gateway.filter.sql_beside import sources
from gateway.filter.sql_calls import called
from gateway.filter.sql_owners import LISTS, full_name
from gateway.filter.sql_withs import cte_of

_MOST_COLUMNS: Final = 3
"""A summary by more columns than these is a table."""
_MOST_CONDITIONS: Final = 8
"""About keys: so many that are true or not make 256 groups."""
_KEYS: Final = frozenset({"id", "_id", "uuid", "guid", "rowid", "ctid", "oid"})
_NUMBERING: Final = frozenset(
    ("rownumberinallblocks", "rownumberinblock", "rand", "rand32", "rand64", "random", "uuid", "gen_random_uuid")
    + ("generateuuidv4", "generateuuidv7")
)
_OF_ONE: Final = re.compile(
    r"(?!(?:.+_)?(?:is|has|via|or|wants?|uses?|sends?|allows?|accepts?|opt(?:ed)?_in)_|(?:.+_)?tokens$)"
    r"(?:.+_)?(?:e_?mail|phone|mobile|fax|ssn|iban|card|passport|password|token|secret)(?:_?(?:address|number|no|hash))?s?"
)
"""Columns that hold what hardly two have the same of; ``is_mobile`` and ``max_tokens`` are none."""
_TELLING: Final = re.compile(
    r"name|(?:.+_)?(?:e?_?mail|phone|mobile|fax|address|street|birth(?:day|date)|date_of_birth|dob|ssn|iban|card|passport"
    r"|password|token|secret|login|(?:first|last|full|sur|user|nick|display|contact|customer|person|employee)_?name|note"
    r"|comment|text|body|message|content|description|subject|url|ip|hash|number)s?"
)
"""Columns that are called like what tells people apart, or like what people write."""


def kinds_of(select: exp.Select, grant: SqlGrant) -> bool:
    """True when a DISTINCT, or a GROUP BY without sums, says only which countries or months there are.

    Whoever wrote the grant has named each of its columns, no key is among them, and none that tells about persons.
    """
    tables = {source.alias_or_name: _named(source, grant) for source in sources(select)}
    others = {name for source in sources(select) for name in made(source)}
    group, distinct = select.args.get("group"), select.args.get("distinct")
    nodes = [node for each in (*select.expressions, group, distinct) if each is not None for node in each.walk()]
    if any(isinstance(node, exp.Star | exp.Query) or called(node) in _NUMBERING for node in nodes):
        return False
    if distinct and not group and any(isinstance(node, exp.Window) for node in nodes):
        return False  # each row has its own
    given = {each.alias for each in select.expressions if isinstance(each, exp.Alias)} if group else set()
    columns = [node for node in nodes if isinstance(node, exp.Column)]
    behind = [column for column in columns if column.table or column.name not in given]
    for column in behind:
        its = [tables.get(column.table, ())] if column.table else list(tables.values())
        if not column.table and column.name in others:
            return False
        if not any(column.name in each for each in its):
            return False
    names = {column.name for column in columns}
    few = len({column.name for column in behind}) <= _MOST_COLUMNS
    return few and not any(_TELLING.fullmatch(name.lower()) or _is_key(name, own) for name in names for own in tables)


def _named(source: exp.Expr, grant: SqlGrant) -> tuple[str, ...]:
    """Columns that a grant gives by their names; none of what a WITH may have renamed."""
    if not isinstance(source, exp.Table) or any(cte.alias == source.name for cte in source.root().find_all(exp.CTE)):
        return ()
    return grant.columns(full_name(source)) or ()


def query_of(source: exp.Expr) -> exp.Expr | None:
    """What a source is made of, when it is no table."""
    cte = cte_of(source) if isinstance(source, exp.Table) else None
    return cte.this if cte else source.this if isinstance(source, exp.Subquery) else None


def made(source: exp.Expr) -> tuple[str, ...]:
    """The names that a subquery or WITH gives; none of a table."""
    return tuple(source.alias_column_names) or tuple(getattr(query_of(source), "named_selects", ()))


def narrow(select: exp.Select) -> bool:
    """True when each group is a row or nearly so: grouped by its key, by a number of its own, or by many columns."""
    group, meant = select.args["group"], list(_meant(select))
    nodes = [node for each in (group, *meant) for node in each.walk()]
    if any(isinstance(node, exp.Star) or called(node) in _NUMBERING for node in nodes):
        return True
    written, behind = _columns(group), {name for each in meant for name in _columns(each)}
    source = select.args["from_"].this.name
    given = {each.alias for each in select.expressions if isinstance(each, exp.Alias)}
    few = sum(isinstance(node, exp.Predicate) for node in nodes) <= _MOST_CONDITIONS
    told = {name for each in (group, *meant) for name in _told(each)} if few else behind | written
    keyed = any(_is_key(name, source) for name in told) or _renames_key(told, select, {})
    return keyed or len(behind | written - given) > _MOST_COLUMNS


def _renames_key(names: set[str], select: exp.Select, seen: dict[int, set[str]]) -> bool:
    """A subquery or WITH gives a key under one of these names.

    Args:
        seen: names that were looked up, by where.
    """
    for source in sources(select):
        query = query_of(source)
        if not isinstance(query, exp.Select):
            continue
        known = seen.setdefault(id(query), set())
        meant = [each for each in query.selects if each.alias_or_name in names - known and not each.find(exp.AggFunc)]
        known |= names
        from_ = query.args.get("from_")
        own = str(from_.this.name) if from_ is not None else ""
        columns = {column for each in meant for column in _columns(each)}
        if any(_is_key(column, own) for column in columns) or (columns and _renames_key(columns, query, seen)):
            return True
    return False


def _meant(select: exp.Select) -> Iterator[exp.Expr]:
    """What positions and names in a GROUP BY stand for."""
    group, chosen = select.args["group"], [each.unalias() for each in select.expressions]
    if group.args.get("all"):
        yield from (each for each in chosen if not each.find(exp.AggFunc))
    for place in group.find_all(exp.Literal):
        if isinstance(place.parent, LISTS) and place.is_int and 0 < int(place.this) <= len(chosen):
            yield chosen[int(place.this) - 1]
    names = _columns(group)
    yield from (each.this for each in select.expressions if isinstance(each, exp.Alias) and each.alias in names)


def _columns(node: exp.Expr) -> set[str]:
    return {column.name for column in node.find_all(exp.Column)}


def _told(node: exp.Expr) -> set[str]:
    """Columns whose values it tells: of one in a condition (``email IS NULL``) only that it is so, or not."""
    nodes = node.walk(prune=lambda each: isinstance(each, exp.Predicate))
    return {column.name for column in nodes if isinstance(column, exp.Column)}


def _is_key(name: str, table: str) -> bool:
    """``id``, or ``order_id`` of ``orders``, or ``email`` of whatever has one."""
    name = name.lower()
    own, _, kind = name.rpartition("_")
    named = name in _KEYS or bool(own and kind in _KEYS and table.lower().startswith(own))
    return named or _OF_ONE.fullmatch(name) is not None
