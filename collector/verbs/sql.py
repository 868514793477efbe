"""``fusebox sql``: one read-only statement against the SQL port."""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import sys
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from rich.table import Table
from rich.text import Text

from collector.queries import NO_ADDRESS, KeepUnavailable, token_of
from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import ConfigError, FuseboxError
from fusebox.http_address import connection_to
from fusebox.rundir import absent, url_of
from fusebox.tls import advised

_TIMEOUT_S: Final = 30.0
_OK: Final = 200
_TABLE: Final = "JSONCompact"


class StatementFailed(FuseboxError):
    """The SQL port refused the statement; the text is the engine's."""


class SqlVerb:
    """Runs a statement."""

    help = "ask the database (read-only)"
    description = """\
Run one read-only statement on the SQL port of the running keep.

  fusebox sql "SELECT agent, count(), sum(cost_usd) FROM agent_events GROUP BY agent"
  fusebox sql "SELECT time, kind, actor, subject, reason FROM audit_log ORDER BY seq"
  fusebox sql --json "SELECT * FROM agent_events ORDER BY time DESC LIMIT 5"
  fusebox sql --csv "SELECT * FROM agent_events" > events.csv
  echo "SHOW TABLES" | fusebox sql -

Tables: agent_events, agent_minutes, detector_scores, otel_traces, otel_logs, audit_log, dead_letters,
dead_letters_waiting.
A FORMAT in the statement wins over --json and --csv.
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("statement", help="the statement, or - to read it from standard input")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", dest="form", action="store_const", const="JSON", help="print JSON")
        form.add_argument(
            "--csv", dest="form", action="store_const", const="CSVWithNames", help="print CSV with a header"
        )

    def run(self, args: argparse.Namespace, config: Config) -> int:
        statement = sys.stdin.read() if args.statement == "-" else args.statement
        body, form = ask(config, statement, args.form or _TABLE)
        if form == _TABLE and args.form is None:
            console = terminal.console()
            console.print(terminal.legible(console, _table(json.loads(body))))
        else:
            sys.stdout.write(body.decode("utf-8", "replace"))
        return 0


def ask(config: Config, statement: str, form: str) -> tuple[bytes, str]:
    """The answer, and the format it is in (the statement's own ``FORMAT`` wins over ``form``).

    Raises:
        KeepUnavailable: nobody answers.
        ConfigError: ``sql_url`` is no address.
        StatementFailed: the statement was refused or failed.
    """
    url = url_of(config, "keep", "sql_url")
    if url is None:
        raise KeepUnavailable(absent(config, "keep", "sql_url"))
    try:
        status, body, answered = _post(_parts(url), statement, form, token_of(config))
    except (OSError, http.client.HTTPException) as error:
        raise KeepUnavailable(advised(f"the SQL port does not answer ({error}); is 'fusebox up' running?")) from error
    if status != _OK:
        raise StatementFailed(body.decode("utf-8", "replace").strip())
    return body, answered or form


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text quotes parts of the address, which may hold a password
        raise ConfigError(NO_ADDRESS) from None
    return parts


def _post(parts: SplitResult, statement: str, form: str, token: str | None) -> tuple[int, bytes, str]:
    connection = connection_to(parts, _TIMEOUT_S)
    database = parts.path.strip("/")
    path = f"/?default_format={form}" + (f"&database={quote(database)}" if database else "")
    try:
        connection.request("POST", path, statement.encode(), _credentials(parts.username, parts.password or token))
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("X-ClickHouse-Format", "")
    finally:
        connection.close()


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    if not (user or password):
        return {}
    pair = f"{unquote(user or '')}:{unquote(password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _table(answer: dict[str, Any]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in answer["meta"]:
        numeric = column["type"].startswith(("UInt", "Int", "Float", "Decimal"))
        table.add_column(Text(column["name"]), justify="right" if numeric else "left", overflow="fold")
    for row in answer["data"]:
        table.add_row(*(Text(_cell(value)) for value in row))
    return table


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return terminal.plain(text)


verb = SqlVerb()
