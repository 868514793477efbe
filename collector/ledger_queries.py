"""Named queries on the token ledger: its rows, its sums, and what casts doubt on them.

A sum of money is never alone: beside it stand the tokens that no price is known for (``unpriced_tokens``), the attempts
that reported no tokens (``unmetered_attempts``) and the rows that contradict themselves (``violations``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.query import Query

_END_OF_TIME: Final = 4_102_444_800.0  # 2100
_ANY: Final = {"tenant": "default", "agent": "", "until": _END_OF_TIME}


def _rows(table: str) -> str:
    """Columns are taken from ``t``, because an alias of the same name would be taken for them."""
    return f"""{table} AS t WHERE tenant = {{tenant:String}} AND ({{agent:String}} = '' OR agent = {{agent:String}})
              AND t.time >= fromUnixTimestamp64Micro(toInt64({{since:Float64}} * 1000000))
              AND t.time < fromUnixTimestamp64Micro(toInt64({{until:Float64}} * 1000000))"""


_COSTS: Final = _rows("token_costs")
_LEDGER: Final = _rows("token_ledger")
_SUMS: Final = """count() AS attempts, sum(t.input_tokens) AS input_tokens, sum(t.output_tokens) AS output_tokens,
    sum(t.cache_read_tokens) AS cache_read_tokens, sum(t.cache_creation_tokens) AS cache_creation_tokens,
    sum(t.reasoning_tokens) AS reasoning_tokens, sum(ifNull(t.cost_usd, 0)) AS cost_usd,
    countIf(t.price = 'unpriced') AS unpriced_attempts,
    sumIf(t.input_tokens + t.output_tokens, t.price = 'unpriced') AS unpriced_tokens,
    countIf(t.price = 'unmetered') AS unmetered_attempts, countIf(t.wasted) AS wasted_attempts,
    sumIf(ifNull(t.cost_usd, 0), t.wasted) AS wasted_usd,
    sumIf(t.input_tokens + t.output_tokens, t.wasted) AS wasted_tokens, countIf(t.violation != '') AS violations"""

_DAY_BEFORE: Final = "fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000)) - toIntervalDay(1)"
"""What is below a span begins after it, or as much earlier as clocks may differ: nobody looks through older days."""

LEDGER: Final[Mapping[str, Query]] = {
    "ledger_rows": Query(
        "the ledger's rows behind a number, oldest first: each attempt of an inference with its tokens and price",
        f"""SELECT toUnixTimestamp64Micro(time) / 1000000 AS time, agent, provider, model, operation, outcome, wasted,
                input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, violation,
                cost_usd, price, service_tier, repriced, duration_s, workflow, trace_id, span_id, parent_id
            FROM {_COSTS}
            ORDER BY t.time, trace_id, span_id LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}""",
        {**_ANY, "limit": 1000, "offset": 0},
    ),
    "ledger_totals": Query(
        "sums of the same rows, with what is unpriced, unmetered, wasted and contradictory",
        f"SELECT {_SUMS} FROM {_COSTS}",
        _ANY,
    ),
    "ledger_by_model": Query(
        "sums by agent, provider, model and price list",
        f"""SELECT agent, provider, model, price, {_SUMS} FROM {_COSTS}
            GROUP BY agent, provider, model, price
            ORDER BY sum(ifNull(t.cost_usd, 0)) DESC, agent, provider, model, price""",
        _ANY,
    ),
    "ledger_of_spans": Query(
        "cost and price of the attempts among some spans, a list of 'trace_id:span_id'; a span that is none has no row",
        """SELECT t.trace_id AS trace_id, t.span_id AS span_id, t.cost_usd AS cost_usd, t.price AS price
            FROM token_costs AS t
            WHERE t.trace_id IN (SELECT splitByChar(':', arrayJoin({spans:Array(String)}))[1])
              AND concat(t.trace_id, ':', t.span_id) IN {spans:Array(String)}""",
    ),
    "ledger_violations": Query(
        "rows that contradict themselves (more cache than input, more reasoning than output); flagged, not changed",
        f"""SELECT toUnixTimestamp64Micro(time) / 1000000 AS time, agent, provider, model, violation, input_tokens,
                output_tokens, cache_read_tokens, cache_creation_tokens, reasoning_tokens, trace_id, span_id
            FROM {_LEDGER} AND violation != ''
            ORDER BY t.time, span_id LIMIT 1000""",
        _ANY,
    ),
    "ledger_not_leaf": Query(
        "rows that have rows below them, at any depth, in the newest thousand traces: the same tokens counted twice",
        f"""WITH RECURSIVE
                several AS (
                    SELECT trace_id FROM {_LEDGER}
                    GROUP BY trace_id HAVING count() > 1 ORDER BY max(t.time) DESC LIMIT 1000),
                edges AS (
                    SELECT TraceId, SpanId, ParentSpanId FROM otel_traces
                    WHERE TraceId IN (SELECT trace_id FROM several) AND ParentSpanId != ''),
                above AS (
                    SELECT trace_id AS trace, parent_id AS node, 1 AS depth FROM token_ledger
                    WHERE trace_id IN (SELECT trace_id FROM several) AND parent_id != ''
                    UNION ALL
                    SELECT above.trace, edges.ParentSpanId, above.depth + 1 FROM above
                    INNER JOIN edges ON edges.TraceId = above.trace AND edges.SpanId = above.node
                    WHERE above.depth < 20)
            SELECT agent, model, input_tokens, output_tokens, cost_usd, trace_id, span_id
            FROM {_LEDGER}
              AND trace_id IN (SELECT trace_id FROM several)
              AND (trace_id, span_id) IN (SELECT trace, node FROM above)
            ORDER BY t.time, span_id LIMIT 1000""",
        _ANY,
    ),
    "ledger_repeated": Query(
        "responses of a provider, and spans (without one), that stand in more than one row",
        f"""SELECT response_id, count() AS attempts, groupArray(concat(trace_id, ':', span_id)) AS spans,
                sum(input_tokens + output_tokens) AS tokens
            FROM {_LEDGER} AND response_id != '' AND sipHash64(response_id) IN (
                SELECT sipHash64(response_id) AS key FROM {_LEDGER} AND response_id != ''
                GROUP BY key HAVING count() > 1)
            GROUP BY response_id HAVING attempts > 1 ORDER BY tokens DESC LIMIT 1000
            UNION ALL
            SELECT '' AS response_id, count() AS attempts, [concat(trace_id, ':', span_id)] AS spans,
                sum(input_tokens + output_tokens) AS tokens
            FROM {_LEDGER} AND sipHash64(trace_id, span_id) IN (
                SELECT sipHash64(trace_id, span_id) AS key FROM {_LEDGER} GROUP BY key HAVING count() > 1)
            GROUP BY trace_id, span_id HAVING attempts > 1 ORDER BY tokens DESC LIMIT 1000""",
        _ANY,
    ),
    "ledger_parents": Query(
        "what agent spans say their model calls used, beside what the ledger has below them; other spans agree",
        f"""WITH RECURSIVE
                parents AS (
                    SELECT TraceId, SpanId, ServiceName,
                        toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens']) AS input,
                        toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens']) AS output
                    FROM otel_traces
                    WHERE SpanAttributes['gen_ai.operation.name'] IN ('invoke_agent', 'invoke_workflow')
                      AND if(SpanAttributes['fusebox.tenant'] != '', SpanAttributes['fusebox.tenant'], 'default')
                          = {{tenant:String}}
                      AND ({{agent:String}} = '' OR {{agent:String}} = multiIf(
                          SpanAttributes['gen_ai.agent.id'] != '', SpanAttributes['gen_ai.agent.id'],
                          SpanAttributes['gen_ai.agent.name'] != '', SpanAttributes['gen_ai.agent.name'], ServiceName))
                      AND Timestamp >= fromUnixTimestamp64Micro(toInt64({{since:Float64}} * 1000000))
                      AND input + output > 0
                    ORDER BY Timestamp DESC LIMIT 1000),
                edges AS (
                    SELECT TraceId, SpanId, ParentSpanId FROM otel_traces
                    WHERE TraceId IN (SELECT TraceId FROM parents) AND ParentSpanId != ''
                      AND Timestamp >= {_DAY_BEFORE}),
                below AS (
                    SELECT TraceId, SpanId AS top, SpanId AS node, 0 AS depth FROM parents
                    UNION ALL
                    SELECT below.TraceId, below.top, edges.SpanId, below.depth + 1 FROM below
                    INNER JOIN edges ON edges.TraceId = below.TraceId AND edges.ParentSpanId = below.node
                    WHERE below.depth < 20)
            SELECT parents.TraceId AS trace_id, parents.SpanId AS span_id, any(parents.ServiceName) AS service,
                any(parents.input) AS input_tokens, any(parents.output) AS output_tokens,
                sum(ledger.input_tokens) AS ledger_input_tokens, sum(ledger.output_tokens) AS ledger_output_tokens
            FROM parents
            LEFT JOIN below ON below.TraceId = parents.TraceId AND below.top = parents.SpanId
            LEFT JOIN (SELECT trace_id, span_id, input_tokens, output_tokens FROM token_ledger
                       WHERE trace_id IN (SELECT TraceId FROM parents) AND time >= {_DAY_BEFORE}) AS ledger
                ON ledger.trace_id = below.TraceId AND ledger.span_id = below.node
            GROUP BY trace_id, span_id
            HAVING input_tokens != ledger_input_tokens OR output_tokens != ledger_output_tokens
            ORDER BY trace_id, span_id""",
        {"tenant": "default", "agent": ""},
    ),
}
