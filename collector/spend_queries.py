"""Named queries of the page about money: what was used in a period, by agent, workflow, model and day.

A row's price may have been corrected since (``ledger_repricings``). Looking each row up there means reading its ids,
which costs ten times what the sums do, and few rows were corrected. So all rows are summed as they were written, and
the corrected ones, found by their traces, once more: as they were with the sign -1, as they stand now with +1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.query import Query

_WITHIN: Final = """t.tenant = {tenant:String}
                AND t.time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
                AND t.time < fromUnixTimestamp64Micro(toInt64({until:Float64} * 1000000))"""
_COLUMNS: Final = """t.time AS time, t.agent AS agent, t.workflow AS workflow, t.provider AS provider, t.model AS model,
                toInt64(t.input_tokens + t.output_tokens) AS used, t.wasted AS wasted, t.price AS price,
                toDecimal128(ifNull(t.cost_usd, 0), 12) AS cost"""
_CORRECTED: Final = "t.trace_id IN (SELECT trace_id FROM ledger_repricings)"
_COSTS: Final = f"""(
            SELECT 1 AS sign, {_COLUMNS} FROM token_ledger AS t WHERE {_WITHIN}
            UNION ALL
            SELECT -1 AS sign, {_COLUMNS} FROM token_ledger AS t WHERE {_WITHIN} AND {_CORRECTED}
            UNION ALL
            SELECT 1 AS sign, {_COLUMNS} FROM token_costs AS t WHERE {_WITHIN} AND {_CORRECTED})"""
_SPENT: Final = """sum(sign) AS attempts, sum(sign * used) AS tokens, sum(sign * cost) AS cost_usd,
                sumIf(sign * used, wasted) AS wasted_tokens, sumIf(sign * cost, wasted) AS wasted_usd,
                sumIf(sign * used, price = 'unpriced') AS unpriced_tokens"""
_TENANT: Final = {"tenant": "default"}


def _by(columns: str, where: str = "true", *, limit: int) -> str:
    return f"""SELECT {columns}, {_SPENT} FROM {_COSTS} WHERE {where}
            GROUP BY {columns} ORDER BY cost_usd DESC, tokens DESC, {columns} LIMIT {limit}"""


SPEND: Final[Mapping[str, Query]] = {
    "spend": Query(
        "tokens and money of each agent on each model in a period, with what was wasted and what has no price",
        _by("agent, provider, model", limit=20_000),
        _TENANT,
    ),
    "spend_by_workflow": Query(
        "the same of each workflow, the hundred that spent most", _by("workflow", "workflow != ''", limit=100), _TENANT
    ),
    "spend_course": Query(
        "the same of each step of so many seconds (UTC) and each of these agents; all others are one, without a name",
        f"""SELECT toUnixTimestamp(toStartOfInterval(time, toIntervalSecond({{step:UInt32}}), 'UTC')) AS at,
                if(has({{agents:Array(String)}}, agent), agent, '') AS who, {_SPENT} FROM {_COSTS}
            GROUP BY at, who ORDER BY at, who LIMIT 20000""",
        {**_TENANT, "step": 3_600, "agents": []},
    ),
}
