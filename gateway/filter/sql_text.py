"""SQL as written: what a parser throws away, and databases do not agree on.

A filter and a database that read the same bytes differently are a hole. So what is read differently is refused: control
and invisible characters, comments that run, comments that part or end a statement, escapes that only one side knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.filter.threats import Threat

MAX_CHARS: Final = 20_000

_ESCAPED: Final = re.compile(r"(?<!\w)[eE]$")
_TAG: Final = re.compile(r"\$[A-Za-z_]*\$")


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    start: int
    text: str


def written(sql: str, dialect: str) -> list[Threat]:
    """What is wrong with a statement's text."""
    if len(sql) > MAX_CHARS:
        return [Threat("sql.size", f"a statement of more than {MAX_CHARS} characters")]
    parts = list(scan(sql, dialect))
    bare = _without(sql, parts)
    return [*_characters(sql, bare), *_comments(sql, parts), *_open_quotes(bare)]


def scan(sql: str, dialect: str) -> Iterator[_Part]:
    """Quoted texts and comments, in order, by the dialect's own rules."""
    at = 0
    while at < len(sql):
        part = _part_at(sql, at, dialect)
        if part:
            yield part
        at += len(part.text) if part else 1


def _part_at(sql: str, at: int, dialect: str) -> _Part | None:
    first = sql[at]
    if first in "'\"`":
        return _Part("quoted", at, sql[at : _quote_end(sql, at, dialect)])
    if sql.startswith("--", at) or (first == "#" and dialect != "postgres"):
        end = sql.find("\n", at)
        return _Part("comment", at, sql[at : end if end >= 0 else len(sql)])
    if sql.startswith("/*", at):
        end = sql.find("*/", at + 2)
        return _Part("comment" if end >= 0 else "open", at, sql[at : end + 2 if end >= 0 else len(sql)])
    tag = _TAG.match(sql, at) if dialect == "postgres" and first == "$" else None
    if tag:
        end = sql.find(tag[0], tag.end())
        return _Part("quoted", at, sql[at : end + len(tag[0]) if end >= 0 else len(sql)])
    return None


def _quote_end(sql: str, at: int, dialect: str) -> int:
    quote, i = sql[at], at + 1
    escapes = quote != "`" and (dialect != "postgres" or bool(_ESCAPED.search(sql, max(0, at - 2), at)))
    while i < len(sql):
        if escapes and sql[i] == "\\":
            i += 2
        elif sql[i] == quote:
            if sql.startswith(quote * 2, i):
                i += 2
            else:
                return i + 1
        else:
            i += 1
    return len(sql)


def _without(sql: str, parts: list[_Part]) -> str:
    """The statement with quoted texts and comments blanked out; an unfinished quote stays."""
    out, at = [], 0
    for part in parts:
        whole = part.kind != "quoted" or (len(part.text) > 1 and part.text[-1] == part.text[0]) or part.text[0] == "$"
        out += [sql[at : part.start], " " * len(part.text) if whole else part.text]
        at = part.start + len(part.text)
    return "".join([*out, sql[at:]])


def _characters(sql: str, bare: str) -> Iterator[Threat]:
    if any(ord(c) < 32 and c not in "\t\n\r" for c in sql) or "\x7f" in sql:
        yield Threat("sql.characters", "a control character")
    if any(unicodedata.category(c) in ("Cf", "Co", "Cn", "Cs", "Zl", "Zp") for c in sql):
        yield Threat("sql.characters", "an invisible character")
    if not bare.isascii():
        yield Threat("sql.characters", "a letter outside quotes that is not ASCII")
    if "\\" in bare:
        yield Threat("sql.characters", "a backslash outside quotes")


def _comments(sql: str, parts: list[_Part]) -> Iterator[Threat]:
    for part in parts:
        if part.kind == "open":
            yield Threat("sql.comment", "a comment without end")
        elif part.kind == "comment":
            if part.text.startswith(("/*!", "/*+", "/*M!")):
                yield Threat("sql.comment", "a comment that the database runs")
            elif part.text.count("/*") > 1:
                yield Threat("sql.comment", "a comment inside a comment")
            elif sql[sql.rfind("\n", 0, part.start) + 1 : part.start].strip() or _after(sql, part):
                yield Threat("sql.comment", "a comment that does not have its lines to itself")


def _after(sql: str, part: _Part) -> bool:
    end = part.start + len(part.text)
    line_end = sql.find("\n", end)
    return bool(sql[end : line_end if line_end >= 0 else len(sql)].strip())


def _open_quotes(bare: str) -> Iterator[Threat]:
    if any(quote in bare for quote in "'\"`"):
        yield Threat("sql.quote", "a quote without end")
