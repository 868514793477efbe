"""Named queries: the only SQL outside ``schema/``, and all that the dashboard, the demo and ``fusebox why`` ask.

Everything is parameterised; values never become text of a statement. Times go in and come out as Unix seconds on
:mod:`fusebox.clock`, money as Decimal US dollars.

>>> client = connect(config)                                              # doctest: +SKIP
>>> run(client, "agent_activity", since=clock.now() - 600)                # doctest: +SKIP
[{'agent': 'ticket-helper', 'actions': 12, …}]
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.audit_queries import COPY
from collector.clickhouse import client_of
from collector.ledger_queries import LEDGER
from collector.page_queries import EXAMPLES, PAGES
from collector.policy_queries import POLICY
from collector.query import Query
from collector.questions import ASKED
from collector.spend_queries import SPEND
from collector.stock import over_stock
from collector.truth_queries import CANARY, TRUTH
from collector.why_queries import BRANCH, OF_TRACE, OF_TRACES, SPAN, WHY
from fusebox.config import Config
from fusebox.errors import ConfigError, Retryable
from fusebox.rundir import absent, dashboard_token, secret_of, url_of

__all__ = ["EXAMPLES", "NO_ADDRESS", "QUERIES", "KeepUnavailable", "connect", "run", "select", "token_of"]

_TIMEOUT_S: Final = 10
_UNKNOWN_TABLE: Final = 60
NO_ADDRESS: Final = "sql_url is not an http(s) address; write special characters of a password as %XX"


class KeepUnavailable(Retryable):
    """The SQL port of *keep* does not answer, or not this query."""


_MINUTE: Final = "t.minute >= toStartOfMinute(fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000)))"
_EVENT: Final = """
    toUnixTimestamp64Micro(time) / 1000000 AS time, agent, tenant, action, operation, target, workflow, request_hash,
    simhash, result_hash, ok, error_type, input_tokens, output_tokens, cost_usd, price, duration_s, trace_id, span_id,
    parent_id, lineage"""
_HASHES: Final = ", ".join(
    f"reinterpretAsUInt64(reverse(unhex(leftPad(SpanAttributes['fusebox.{name}'], 16, '0'))))"
    for name in ("request.hash", "request.simhash", "result.hash")
)
_OWN: Final = f"""
    toUnixTimestamp64Micro(addNanoseconds(Timestamp, least(Duration, 3600000000000000))) / 1000000 AS time,
    SpanAttributes['gen_ai.agent.id'], SpanAttributes['fusebox.tenant'], 'model_call',
    SpanAttributes['fusebox.operation'], SpanAttributes['fusebox.target'], SpanAttributes['fusebox.workflow'],
    {_HASHES}, StatusCode NOT IN ('Error', 'STATUS_CODE_ERROR'), SpanAttributes['error.type'],
    toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens']),
    toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens']), NULL, 'on the span of the gateway',
    Duration / 1000000000, TraceId, SpanId AS span_id, ParentSpanId, SpanAttributes['fusebox.lineage']"""
"""As _EVENT: the agent's own span of a call that the gateway made: in agent_events stands the gateway's."""
_BY_ARRIVAL: Final = "ORDER BY Timestamp, SpanId"
_NEWEST: Final = """
    SELECT min(minute) FROM (
        SELECT t.minute AS minute, sum(t.actions) AS here, sum(sum(t.actions)) OVER (ORDER BY t.minute DESC) AS reached
        FROM agent_minutes AS t
        WHERE tenant = {tenant:String} AND ({agent:String} = '' OR agent = {agent:String}) GROUP BY t.minute)
    WHERE reached - here < {limit:UInt32}"""
"""The minute with which the newest so many actions begin: what is older need not be read, still less sorted."""

QUERIES: Final[Mapping[str, Query]] = {
    "recent_events": Query(
        "the newest actions, of one agent or (agent='') of all",
        f"""SELECT {_EVENT} FROM agent_events
            WHERE tenant = {{tenant:String}} AND ({{agent:String}} = '' OR agent = {{agent:String}})
              AND agent_events.time >= ({_NEWEST})
            ORDER BY agent_events.time DESC, span_id LIMIT {{limit:UInt32}}""",
        {"tenant": "default", "agent": "", "limit": 100},
    ),
    "agent_activity": Query(
        "what each agent did since the minute of then: actions, tokens, cost, errors",
        f"""SELECT agent, sum(t.actions) AS actions, sum(t.model_calls) AS model_calls, sum(t.tool_calls) AS tool_calls,
                sum(t.input_tokens) AS input_tokens, sum(t.output_tokens) AS output_tokens,
                sum(t.cost_usd) AS cost_usd, sum(t.errors) AS errors,
                toUnixTimestamp64Micro(max(t.last)) / 1000000 AS last
            FROM agent_minutes AS t WHERE tenant = {{tenant:String}} AND {_MINUTE} GROUP BY agent ORDER BY agent""",
        {"tenant": "default"},
    ),
    "tokens_by_agent_minute": Query(
        "tokens and cost of each agent in each minute since the minute of then",
        f"""SELECT toUnixTimestamp(t.minute) AS minute, agent, sum(t.input_tokens + t.output_tokens) AS tokens,
                sum(t.cost_usd) AS cost_usd, sum(t.actions) AS actions
            FROM agent_minutes AS t WHERE tenant = {{tenant:String}} AND {_MINUTE}
            GROUP BY minute, agent ORDER BY minute, agent""",
        {"tenant": "default"},
    ),
    "trip_evidence": Query(
        "the actions behind a Finding; spans is its list of 'trace_id:span_id'. cost_usd is NULL where the span of the "
        "gateway has it",
        f"""SELECT * FROM (
                SELECT {_EVENT} FROM agent_events
                WHERE trace_id IN (SELECT splitByChar(':', arrayJoin({{spans:Array(String)}}))[1])
                  AND concat(trace_id, ':', span_id) IN {{spans:Array(String)}}
                UNION ALL
                SELECT {_OWN} FROM otel_traces
                WHERE {OF_TRACES} AND concat(TraceId, ':', SpanId) IN {{spans:Array(String)}}
                  AND SpanAttributes['fusebox.usage.delegated'] = 'true')
            ORDER BY time, span_id""",
    ),
    "last_tool_call": Query(
        "the newest tool call of an agent, of one operation or (operation='') of any",
        f"""SELECT {_EVENT} FROM agent_events
            WHERE tenant = {{tenant:String}} AND agent = {{agent:String}} AND action = 'tool_call'
              AND ({{operation:String}} = '' OR operation = {{operation:String}})
            ORDER BY agent_events.time DESC, span_id LIMIT 1""",
        {"tenant": "default", "operation": ""},
    ),
    "counts_by_agent": Query(
        "actions of each agent by kind, all time",
        """SELECT agent, action, count() AS actions, sum(input_tokens) + sum(output_tokens) AS tokens,
                sum(agent_events.cost_usd) AS cost_usd
            FROM agent_events WHERE tenant = {tenant:String} GROUP BY agent, action ORDER BY agent, action""",
        {"tenant": "default"},
    ),
    "totals": Query(
        "messages handled, tokens and cost, all time",
        """SELECT sumIf(actions, action = 'consume') AS messages, sum(used) AS tokens, sum(cost) AS cost_usd
            FROM (
                SELECT action, count() AS actions, sum(input_tokens) + sum(output_tokens) AS used, sum(cost_usd) AS cost
                FROM agent_events WHERE tenant = {tenant:String} GROUP BY action)""",
        {"tenant": "default"},
    ),
    "spans_total": Query(
        "how many spans are stored, canaries left out",
        f"SELECT count() AS spans FROM otel_traces WHERE SpanName != '{CANARY}'",
    ),
    "trace_spans": Query(
        "every span of a trace, oldest first: the tree, without attributes (query span has those)",
        f"""SELECT {BRANCH} FROM otel_traces WHERE {OF_TRACE} {_BY_ARRIVAL} LIMIT {{limit:UInt32}}""",
        {"limit": 10_000},
    ),
    "last_call_in_trace": Query(
        "the newest tool call of a trace, else its newest action",
        f"""SELECT {_EVENT} FROM agent_events WHERE trace_id = {{trace_id:String}}
            ORDER BY action = 'tool_call' DESC, agent_events.time DESC, span_id LIMIT 1""",
    ),
    "spans_between": Query(
        "one page of spans in the order they ended, past the (ended_ns, span_id) of the last one; of one service or "
        "agent or (agent='') of all",
        f"""SELECT {SPAN}, toUnixTimestamp64Nano(Timestamp) + Duration AS ended_ns FROM otel_traces
            WHERE ended_ns >= {{since_ns:Int64}} AND ended_ns < {{until_ns:Int64}}
                AND Timestamp >= fromUnixTimestamp64Nano({{since_ns:Int64}} - 86400000000000)
                AND (ended_ns, SpanId) > ({{after_ns:Int64}}, {{after_id:String}})
                AND ({{agent:String}} = '' OR ServiceName = {{agent:String}}
                    OR SpanAttributes['gen_ai.agent.id'] = {{agent:String}}
                    OR SpanAttributes['gen_ai.agent.name'] = {{agent:String}})
            ORDER BY ended_ns, SpanId LIMIT {{limit:UInt32}}""",
        {"after_ns": 0, "after_id": "", "agent": "", "limit": 5_000},
    ),
    "audit": Query(
        "the newest entries of the journal's copy, of one subject or (subject='') of all but statements",
        """SELECT seq, writer, toUnixTimestamp64Micro(time) / 1000000 AS time, kind, actor, subject, reason, trace_id,
                span_id, payload, hash
            FROM audit_log WHERE if({subject:String} = '', kind NOT IN ('sql', 'sql_count'), subject = {subject:String})
            ORDER BY seq DESC, writer LIMIT {limit:UInt32}""",
        {"subject": "", "limit": 100},
    ),
    **ASKED,
    **COPY,
    **POLICY,
    **LEDGER,
    **TRUTH,
    **PAGES,
    **SPEND,
    **WHY,
}


def connect(config: Config, token: str | None = None) -> Client:
    """A client on the SQL port: the ``sql_url`` setting, else the *keep* that runs on this data folder.

    Args:
        token: the token of the person who asks; None asks as the operator at this machine.

    Raises:
        KeepUnavailable: no *keep* runs, or it does not answer.
        ConfigError: ``sql_url`` is no address.
    """
    url = url_of(config, "keep", "sql_url")
    if url is None:
        raise KeepUnavailable(absent(config, "keep", "sql_url"))
    try:
        return client_of(
            url,
            "sql_url",
            password=token_of(config) or "" if token is None else token,
            connect_timeout=_TIMEOUT_S,
            send_receive_timeout=_TIMEOUT_S,
        )
    except ClickHouseError as error:
        raise KeepUnavailable(f"the SQL port on {urlsplit(url).hostname} does not answer: {error}") from error


def token_of(config: Config) -> str | None:
    """What is shown to *keep*: to the one that runs here, the token of the operator at this machine; to the one at a
    ``sql_url`` that names no user, the token of the dashboard, which orders nothing, where this folder has it.

    Raises:
        ConfigError: the token's file is not this user's to read, or ``sql_url`` is no address.
    """
    if not config.sql_url:
        return secret_of(config, "operator_token", "operator.token")
    try:
        named = urlsplit(config.sql_url).username is not None
    except ValueError:  # its text quotes parts of the address, which may hold a password
        raise ConfigError(NO_ADDRESS) from None
    return None if named else dashboard_token(config.data_dir) or None


def run(client: Client, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of a named query, also of a database that only has a stock OpenTelemetry Collector's ``otel_traces``.

    Raises:
        KeyError: there is no such query.
        TypeError: a parameter is missing or not one of the query's.
        KeepUnavailable: the database did not answer, or refused.
    """
    query = QUERIES[name]
    values = {**query.defaults, **parameters}
    if set(values) != query.parameters:
        raise TypeError(f"query {name} takes {sorted(query.parameters)}, not {sorted(values)}")
    try:
        return _rows(client, query.sql, values)
    except ClickHouseError as error:
        stock = over_stock(query.sql) if getattr(error, "code", None) == _UNKNOWN_TABLE else None
        if stock is None:
            raise KeepUnavailable(f"query {name}: {error}") from error
    try:
        return _rows(client, stock, values)
    except ClickHouseError as error:
        raise KeepUnavailable(f"query {name} on a stock database: {error}") from error


def select(config: Config, token: str, statement: str, limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` rows of a statement that a person typed; the SQL port decides whether it may run.

    Raises:
        KeepUnavailable: the database did not answer, or refused; the text says why.
    """
    client = connect(config, token)
    try:
        with client.query_row_block_stream(statement) as blocks:
            rows = islice((row for block in blocks for row in block), limit)
            return [dict(zip(blocks.source.column_names, row, strict=True)) for row in rows]
    except ClickHouseError as error:
        raise KeepUnavailable(str(error)) from error
    finally:
        client.close()


def _rows(client: Client, statement: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(client.query(statement, parameters=dict(values) or None).named_results())
