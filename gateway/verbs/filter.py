"""``fusebox filter test``: what the output filter says about a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import ConfigError
from gateway.codec import codec_of
from gateway.filter import FilterSettings, OutputFilter, Ruling, judge
from gateway.filter.statements import begins, parsed
from gateway.filter.threats import ruling
from governance.registry import load_registry

_KINDS: Final = ("sql", "arguments", "answer", "content")
_KIND_OF: Final = {".sql": "sql", ".json": "arguments"}


@dataclass(frozen=True, slots=True)
class _Case:
    line: int
    text: str


class FilterVerb:
    """Runs the output filter on a file."""

    help = "try the output filter on a file"
    description = """Says of each text in a file what the gateway's output filter would: allow, hold or deny, and why.

  fusebox filter test queries.sql --agent analyst --tool warehouse
  fusebox filter test answer.md --agent analyst --host .example.com
  fusebox filter test ticket.txt --as content --json

FILE is read as one text. With --lines each line is a text of its own (a line that begins with a blank goes on with the
one before, \\n stands for a line end, lines that begin with ## are skipped). In a .sql file, without --lines, each
statement is one: it ends with a semicolon at the end of a line, or, where the file has none, with the line before one
that begins like a statement; \\n and ## count there, too.
What it is read as: sql (against the SQL grants of the agent for the tool, in agents.toml), arguments (of a tool call,
JSON or a text), answer (of a model), content (from outside: a score). Exit code 1 when anything is denied."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        test = parser.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser(
            "test", help="what the filter says about a file"
        )
        test.add_argument("file", type=Path)
        test.add_argument(
            "--as", dest="kind", choices=_KINDS, help="default: sql for *.sql, arguments for *.json, else answer"
        )
        test.add_argument("--agent", default="", help="whose grants count; without one nothing is granted")
        test.add_argument("--tool", default="*", help="the tool that is called (default: any)")
        test.add_argument("--host", action="append", default=[], help="a host links may lead to; may be repeated")
        test.add_argument("--lines", action="store_true", help="each line is a text of its own")
        test.add_argument("--json", action="store_true", help="one JSON object a text")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        kind = args.kind or _KIND_OF.get(args.file.suffix, "answer")
        rule = _rule(kind, args, config)
        denied = 0
        sql = args.file.suffix == ".sql" and not args.lines
        for case in _cases(args.file, sql or args.lines, sql):
            told = rule(case.text)
            denied += not told.verdict.allowed
            _print(case, told, args.json)
        return 1 if denied else 0


def _rule(kind: str, args: argparse.Namespace, config: Config) -> Callable[[str], Ruling]:
    registry = load_registry(config.agents_file)
    output = OutputFilter(FilterSettings(hosts=tuple(args.host)), registry)
    if kind == "content":
        return lambda text: output.content(text, args.agent)
    if kind == "answer":
        return lambda text: output.answer(args.agent, text)
    if kind == "arguments":
        return lambda text: output.arguments(args.agent, args.tool, parsed(text))
    entry = registry.agents.get(args.agent)
    grants = registry.sql_grants(args.agent, args.tool) if args.tool != "*" else entry.sql if entry else ()
    if len(grants) != 1:
        raise ConfigError(
            f"--agent {args.agent or '?'} --tool {args.tool}: {len(grants)} SQL grants in {config.agents_file}; "
            "name an agent and a tool that have exactly one"
        )
    return lambda text: ruling(judge(text, grants[0]))


def _cases(file: Path, by_line: bool, sql: bool = False) -> Iterator[_Case]:
    text = _text(file)
    if not by_line:
        yield _Case(1, text)
        return
    lines = text.splitlines()
    goes_on = _not_closed if sql and any(map(_is_closed, lines)) else _not_begun if sql else _indented
    first, parts = 1, list[str]()
    for number, line in enumerate(lines, 1):
        if parts and not goes_on(parts, line):
            yield _case(first, parts)
            parts = []
        if line.strip() and not line.startswith("## "):
            first = first if parts else number
            parts.append(line)
    if parts:
        yield _case(first, parts)


def _case(line: int, parts: list[str]) -> _Case:
    return _Case(line, "\n".join(parts).replace("\\n", "\n"))


def _indented(_: list[str], line: str) -> bool:
    return line[:1].isspace()


def _is_closed(line: str) -> bool:
    return line.rstrip().endswith(";")


def _not_closed(parts: list[str], _: str) -> bool:
    return not _is_closed(parts[-1])


def _not_begun(parts: list[str], line: str) -> bool:
    """A line that begins no statement, or stands behind remarks only."""
    return line[:1].isspace() or not begins(line) or all(part.startswith("--") for part in parts)


def _text(file: Path) -> str:
    """
    Raises:
        ConfigError: it cannot be read, or is no text.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    codec = codec_of(data)
    if codec is None:
        raise ConfigError(f"{file}: no text; the filter reads none from such a file")
    return data.decode(codec).removeprefix("\ufeff")


def _print(case: _Case, told: Ruling, as_json: bool) -> None:
    shown = " ".join(case.text.split())
    if as_json:
        threats: list[dict[str, Any]] = [asdict(threat) for threat in told.threats]
        answer = {"line": case.line, "decision": told.verdict.decision, "score": told.score, "threats": threats}
        print(json.dumps(answer))
        return
    console = terminal.console()
    console.print(f"{case.line}: {told.verdict.decision}  {shown[:80]}", markup=False)
    for threat in told.threats:
        console.print(f"    {threat.weight} {threat.rule}: {threat.what}", markup=False)
    if told.score:
        console.print(f"    score {told.score}", markup=False)


verb = FilterVerb()
