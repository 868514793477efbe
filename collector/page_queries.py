"""Named queries of the dashboard's pages: one for each thing that is shown, bounded in time and in rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.query import Query

_WITHIN: Final = """t.time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
              AND t.time < fromUnixTimestamp64Micro(toInt64({until:Float64} * 1000000))"""
_EVENTS: Final = f"agent_events AS t WHERE tenant = {{tenant:String}} AND {_WITHIN}"
_OF_AGENT: Final = f"agent_events AS t WHERE tenant = {{tenant:String}} AND agent = {{agent:String}} AND {_WITHIN}"
_LATENCY: Final = """quantile(0.5)(duration_s) AS p50_s, quantile(0.95)(duration_s) AS p95_s,
    countIf(NOT ok) AS errors"""
_USED: Final = "sum(input_tokens + output_tokens) AS tokens, sum(t.cost_usd) AS cost_usd"
_STEP: Final = "toStartOfInterval({time}, toIntervalSecond({{step:UInt32}}), 'UTC')"
_LAST: Final = "toUnixTimestamp64Micro(max(t.time)) / 1000000 AS last"
_SENDER: Final = "splitByChar('/', splitByChar(',', lineage)[-1])[1]"
_WORDS: Final = " OR ".join(
    f"positionCaseInsensitiveUTF8({column}, {{words:String}}) > 0" for column in ("operation", "error_type", "target")
)
_LOOKED_FOR: Final = f"""{_EVENTS}
              AND ({{agent:String}} = '' OR agent = {{agent:String}})
              AND ({{workflow:String}} = '' OR workflow = {{workflow:String}})
              AND ({{words:String}} = '' OR trace_id = {{words:String}} OR {_WORDS})"""
_FAILED: Final = "(NOT {failed:Bool} OR NOT ok)"
_TENANT: Final = {"tenant": "default"}

PAGES: Final[Mapping[str, Query]] = {
    "agents_active": Query(
        "each agent's actions, errors, latency, tokens and cost in a period, busiest first",
        f"""SELECT agent, count() AS actions, countIf(action = 'model_call') AS model_calls,
                countIf(action = 'tool_call') AS tool_calls, countIf(action = 'publish') AS published, {_LATENCY},
                {_USED}, {_LAST}
            FROM {_EVENTS} GROUP BY agent ORDER BY actions DESC, agent LIMIT 1000""",
        _TENANT,
    ),
    "agent_operations": Query(
        "what an agent does: each operation with its number, errors and latency",
        f"""SELECT action, operation, count() AS actions, {_LATENCY}, {_LAST}
            FROM {_OF_AGENT} GROUP BY action, operation ORDER BY actions DESC, action, operation LIMIT 200""",
        _TENANT,
    ),
    "agent_partners": Query(
        "whose messages an agent handled, by the last hop of their lineage",
        f"""SELECT {_SENDER} AS partner, operation, count() AS messages, {_LAST}
            FROM {_OF_AGENT} AND action = 'consume' AND lineage != ''
            GROUP BY partner, operation ORDER BY messages DESC, partner, operation LIMIT 200""",
        _TENANT,
    ),
    "agent_readers": Query(
        "who handled an agent's messages, by the last hop of their lineage",
        f"""SELECT agent AS partner, operation, count() AS messages, {_LAST}
            FROM {_EVENTS} AND action = 'consume' AND lineage != '' AND {_SENDER} = {{agent:String}}
            GROUP BY partner, operation ORDER BY messages DESC, partner, operation LIMIT 200""",
        _TENANT,
    ),
    "agent_course": Query(
        "an agent's actions, errors, tokens and cost in each step of so many seconds (UTC)",
        f"""SELECT toUnixTimestamp({_STEP.format(time="t.time")}) AS at, count() AS actions, countIf(NOT ok) AS errors,
                {_USED}, quantile(0.95)(duration_s) AS p95_s
            FROM {_OF_AGENT} GROUP BY at ORDER BY at LIMIT 20000""",
        {**_TENANT, "step": 60},
    ),
    "agent_scores": Query(
        "the highest score of each detector for an agent in each step of so many seconds (UTC)",
        f"""SELECT toUnixTimestamp({_STEP.format(time="minute")}) AS at, detector, max(score) AS score
            FROM detector_scores
            WHERE tenant = {{tenant:String}} AND agent = {{agent:String}}
              AND minute >= toDateTime({{since:Float64}}) AND minute < toDateTime({{until:Float64}})
            GROUP BY at, detector ORDER BY at, detector LIMIT 50000""",
        {**_TENANT, "step": 60},
    ),
    "agent_between": Query(
        "the newest actions of an agent in a period, newest first",
        f"""SELECT toUnixTimestamp64Micro(t.time) / 1000000 AS at, action, operation, target, ok, error_type,
                input_tokens + output_tokens AS tokens, duration_s
            FROM {_OF_AGENT} ORDER BY t.time DESC, span_id DESC LIMIT {{limit:UInt32}}""",
        {**_TENANT, "limit": 500},
    ),
    "traces_found": Query(
        "traces of a period, newest first, of its newest 20,000 actions; by agent, workflow, words in what was done, "
        "or only failed ones",
        f"""SELECT trace_id, toUnixTimestamp64Micro(min(t.time)) / 1000000 AS first,
                toUnixTimestamp64Micro(max(t.time)) / 1000000 AS last, groupUniqArray(10)(agent) AS agents,
                any(t.workflow) AS about, count() AS actions, countIf(NOT ok) AS errors,
                sum(input_tokens + output_tokens) AS tokens
            FROM {_LOOKED_FOR} AND trace_id IN (
                SELECT trace_id FROM {_LOOKED_FOR} AND {_FAILED} AND t.time >= (
                    SELECT min(at) FROM (
                        SELECT t.time AS at FROM {_LOOKED_FOR} AND {_FAILED} ORDER BY t.time DESC LIMIT 20000))
                GROUP BY trace_id ORDER BY max(t.time) DESC, trace_id LIMIT {{limit:UInt32}})
            GROUP BY trace_id ORDER BY last DESC, trace_id LIMIT {{limit:UInt32}}""",
        {**_TENANT, "agent": "", "workflow": "", "words": "", "failed": False, "limit": 200},
    ),
    "audit_found": Query(
        "entries of the audit log of a period, newest first, of one kind or (kind='') of all but statements; by actor, "
        "subject and words in the reason",
        """SELECT toUnixTimestamp64Micro(t.time) / 1000000 AS at, writer, seq, kind, actor, subject, reason, trace_id,
                span_id, payload
            FROM audit_log AS t
            WHERE t.time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
              AND t.time < fromUnixTimestamp64Micro(toInt64({until:Float64} * 1000000))
              AND if({kind:String} = '', kind NOT IN ('sql', 'sql_count'), kind = {kind:String})
              AND ({actor:String} = '' OR positionCaseInsensitiveUTF8(actor, {actor:String}) > 0)
              AND ({subject:String} = '' OR positionCaseInsensitiveUTF8(subject, {subject:String}) > 0)
              AND ({words:String} = '' OR positionCaseInsensitiveUTF8(concat(reason, payload), {words:String}) > 0)
            ORDER BY t.time DESC, seq DESC LIMIT {limit:UInt32}""",
        {"kind": "", "actor": "", "subject": "", "words": "", "limit": 500},
    ),
    "audit_about": Query(
        "what the audit log says about an agent since then, and of one alert or (alert='') none, oldest first",
        """SELECT toUnixTimestamp64Micro(t.time) / 1000000 AS at, kind, actor, reason,
                JSONExtractString(payload, 'fate') AS fate
            FROM audit_log AS t
            WHERE t.time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
              AND subject IN ({agent:String}, concat('agent:', {agent:String}), 'all', {alert:String})
            ORDER BY t.time, seq LIMIT {limit:UInt32}""",
        {"alert": "", "limit": 200},
    ),
    "audit_kinds": Query(
        "how many entries of each kind there are in a period",
        """SELECT kind, count() AS entries FROM audit_log AS t
            WHERE t.time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
              AND t.time < fromUnixTimestamp64Micro(toInt64({until:Float64} * 1000000))
            GROUP BY kind ORDER BY entries DESC, kind""",
    ),
    "dead_letters_by_reason": Query(
        "dead letters that wait to be replayed, by reason",
        """SELECT reason, count() AS letters, sum(length(raw)) AS bytes,
                toUnixTimestamp64Micro(max(t.time)) / 1000000 AS last
            FROM dead_letters_waiting AS t GROUP BY reason ORDER BY letters DESC, reason LIMIT 100""",
    ),
    "columns": Query(
        "tables and their columns, for the schema browser",
        """SELECT table, name, type FROM system.columns
            WHERE database = currentDatabase() AND table NOT LIKE '.inner%' ORDER BY table, position""",
    ),
    "versions": Query("the version of the database", "SELECT version() AS clickhouse"),
}

EXAMPLES: Final[Mapping[str, str]] = {
    "Who was stopped, and why": "SELECT time, kind, actor, subject, reason FROM audit_log\n"
    "WHERE kind IN ('trip', 'transition', 'kill', 'resume') ORDER BY time DESC",
    "Denials by agent and guard": "SELECT subject AS agent, actor AS guard, count() AS denials, max(time) AS last\n"
    "FROM audit_log WHERE kind = 'denial' GROUP BY agent, guard ORDER BY denials DESC",
    "Actions a minute": "SELECT toStartOfMinute(time) AS minute, count() AS actions FROM agent_events\n"
    "WHERE time > now() - INTERVAL 1 HOUR GROUP BY minute ORDER BY minute",
    "The same request again and again": "SELECT agent, operation, request_hash, count() AS times FROM agent_events\n"
    "WHERE request_hash != 0 AND time > now() - INTERVAL 1 DAY\n"
    "GROUP BY agent, operation, request_hash HAVING times > 3 ORDER BY times DESC",
    "Money by model": "SELECT provider, model, sum(cost_usd) AS usd, sum(input_tokens + output_tokens) AS tokens\n"
    "FROM token_costs GROUP BY provider, model ORDER BY usd DESC",
}
"""Statements that a person may begin with at the console, by what they answer."""
