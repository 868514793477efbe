"""Where is SQL in a text or in a tool's arguments?

An argument is SQL when its name says so (``query`` does where a grant fits the tool), or when it begins like a
statement and either goes to a tool that runs SQL or can be parsed (people write "delete from my account the old
address"); in an answer SQL is what stands in a fenced block, what begins a line like a statement, or what follows
``UNION``. Fragments that are made to be pasted into somebody else's statement are looked for in every argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.filter.threats import Threat
from gateway.inner import json_in

SQL_NAMES: Final = frozenset({"sql", "statement", "sql_query", "raw_sql"})
_QUERY: Final = "query"
"""SQL too, where the tool may be one that runs SQL; others search by it."""

_VERBS: Final = (
    r"select|insert|update|delete|merge|drop|truncate|alter|create|grant|revoke|copy|call|exec|execute|set|show|"
    r"describe|explain|with|table|values|handler|load|attach|detach|optimize|rename|replace|kill|use|do|declare|begin|"
    r"system|backup|restore|exchange|lock|analyze|vacuum|prepare|deallocate|listen|notify|import"
)
_COMMENT: Final = r"/\*[^*]*+(?:\*(?!/)[^*]*+)*+\*/"
_BEGINS: Final = re.compile(rf"(?:\s|\(|--[^\n]*\n|#[^\n]*\n|{_COMMENT}|;)*+(?:{_VERBS})\b", re.IGNORECASE)
_LOOKS: Final = re.compile(
    r"\bselect\b.{1,2000}?\bfrom\b\s*[\"`\w(\[/]|\binsert\s+into\b|\bupdate\b\s+\S+\s+\bset\b|\bdelete\s+from\b"
    r"|\b(?:drop|truncate|alter|create)\s+(?:or\s+replace\s+)?(?:table|database|schema|user|role|view|index|function|"
    r"procedure|trigger|dictionary|extension)\b|\btruncate\s+\w+\s*;?\s*$|\bunion\b\s+(?:all\s+)?\bselect\b"
    r"|\bgrant\b.{1,500}?\bto\b\s+\w|\bcopy\b\s+\S+\s+(?:to|from)\b|\binto\s+(?:out|dump)file\b|\bload\s+(?:data|xml)\s+(?:\w+\s+){0,2}infile\b"
    r"|\b(?:pg_sleep|sleep|benchmark)\s*\(|\bcall\s+\w+\s*\(|\bexec(?:ute)?\s+(?:immediate\b|xp_|sp_)",
    re.IGNORECASE | re.DOTALL,
)
_FENCE: Final = re.compile(r"```[ \t]*(?:sql|postgres(?:ql)?|mysql|clickhouse)[ \t]*\n(.*?)(?:```|\Z)", re.I | re.S)
_LINE: Final = re.compile(
    r"^[ \t]*(?:>[ \t]*)?((?:SELECT\b|INSERT INTO\b|UPDATE \S+ SET\b|DELETE FROM\b|DROP \w+|TRUNCATE\b|ALTER \w+"
    r"|CREATE \w+|GRANT\b|COPY\b|WITH\b|TABLE\b)[^;]*?(?:;|\n[ \t]*\n|\Z))",
    re.MULTILINE | re.DOTALL,
)
_FRAGMENTS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (what, re.compile(pattern, re.IGNORECASE))
    for what, pattern in (
        (
            "a quote, then an OR or AND that is always true",
            r"['\"]\s*\)*\s*(?:or|and|\|\||&&)\s*\(*\s*(?:['\"]?(\w+)['\"]?\s*(?:=|like)\s*['\"]?\1\b|true\b|\d+\s*[<>]\s*\d+|not\s)",
        ),
        ("a number, then an OR that is always true", r"^\s*-?\d+\s*\)*\s*(?:or|\|\|)\s+\(*(\w+)\s*=\s*\1\b"),
        (
            "a UNION SELECT",
            rf"\bunion\b(?:\s|{_COMMENT})++(?:all(?:\s|{_COMMENT})++)?select\b(?=.{{0,200}}(?:,|\bfrom\b|\bnull\b|\())",
        ),
        (
            "a second statement after a quote",
            r"['\")\d]\s*;\s*(?:drop|delete|insert|update|alter|create|truncate|exec|grant|copy|select|shutdown|call|set)\b",
        ),
        ("a quote and a comment that ends the statement", r"['\"]\s*\)*\s*(?:--[\s+-]*|#\s*|/\*\s*)$"),
        ("a function that waits", r"\b(?:pg_sleep|sleep|benchmark|sleepEachRow)\s*\(\s*['\"]?[\d.]|waitfor\s+delay\b"),
        ("a function that shows by its error", r"\b(?:extractvalue|updatexml)\s*\("),
        ("INTO OUTFILE", r"\binto\s+(?:out|dump)file\b|\bload_file\s*\("),
    )
)


@dataclass(frozen=True, slots=True)
class Found:
    """A statement in a text."""

    sql: str
    certain: bool
    """True when it must be SQL: by its argument's name or its fence. Else what cannot be parsed is prose."""


def begins(text: str) -> bool:
    """True for what begins like a statement."""
    return _BEGINS.match(text) is not None


def in_argument(name: str, text: str, sql_tool: bool, *, query: bool) -> Iterator[Found]:
    """The statement that an argument is, if it is one.

    Args:
        sql_tool: the tool is one that runs SQL, so what begins like a statement is one.
        query: so is all of an argument that is called ``query``.
    """
    if name.lower() in SQL_NAMES or (query and name.lower() == _QUERY):
        yield Found(text, True)
    elif begins(text) and _LOOKS.search(text):
        yield Found(text, sql_tool)
    else:
        yield from in_text(text)


def in_text(text: str, whole: bool = True) -> Iterator[Found]:
    """The statements in an answer; of one that still grows (not ``whole``), those that have come to their end."""
    for block in _FENCE.finditer(text):
        if whole or block[0].endswith("```"):
            yield Found(block[1].strip().rstrip(";"), True)
    rest = _FENCE.sub("\n", text)
    for line in _LINE.finditer(rest):
        if _LOOKS.search(line[1]) and (whole or line.end() < len(rest) or line[1].endswith(";")):
            yield Found(line[1].strip().rstrip(";"), False)


def fragments(text: str) -> Iterator[Threat]:
    """Pieces that are made to change somebody else's statement."""
    for what, pattern in _FRAGMENTS:
        if pattern.search(text):
            yield Threat("sql.fragment", what)


def texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value with the name nearest to it; keys are texts too."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield "", str(key)
            yield from texts(each, str(key))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts(each, name)


def commands(value: Any) -> Iterator[str]:
    """Command lines whose words stand by themselves: ``["curl", "-d", "@x"]``, or the command beside such a list."""
    if isinstance(value, dict):
        if any(isinstance(each, list) for each in value.values()):
            words = [word for each in value.values() for word in (each if isinstance(each, list) else [each])]
            yield " ".join(word for word in words if isinstance(word, str))
        for each in value.values():
            yield from commands(each)
    elif isinstance(value, list | tuple):
        yield " ".join(word for word in value if isinstance(word, str))
        for each in value:
            yield from commands(each)
    elif isinstance(value, str) and not isinstance(parsed(value), str):
        yield from commands(parsed(value))


def all_texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """As :func:`texts`, and those of the JSON that one of them is.

    Raises:
        RecursionError: it is nested too deep.
    """
    for near, text in texts(value, name):
        yield near, text
        yield from all_texts(json_in(text), near)


def parsed(told: Any) -> Any:
    """Arguments as a model gives them: the JSON that a text is, or the text itself."""
    if not isinstance(told, str):
        return told
    try:
        return orjson.loads(told)
    except orjson.JSONDecodeError:
        return told
