"""Questions that auditors ask, as named queries: ``fusebox audit ask NAME`` runs the query ``ask_NAME``.

Each takes ``limit``, most ``since`` (Unix seconds); those about agents take ``agent``, those about people ``who`` (both
empty for all). Times come out as Unix seconds, 4102444800 (the year 2100) for what has not ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from collector.query import Query

END: Final = 4_102_444_800.0
"""The time of what has not happened yet."""
PREFIX: Final = "ask_"
_OPEN: Final = "SELECT agent, since, until, reason FROM audit_circuits WHERE state = 'open'"
_KILLED: Final = """
    SELECT substring(scope, 7) AS agent, since, until, reason FROM audit_kills WHERE startsWith(scope, 'agent:')"""
_ALL: Final = {"since": 0.0, "limit": 1000}
_OF: Final = {**_ALL, "agent": ""}
_BY: Final = {**_ALL, "who": ""}

_SINCE: Final = "t.time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))"
_FROM: Final = "t.since >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))"
_AGENT: Final = "({agent:String} = '' OR t.agent = {agent:String})"
_SUBJECT: Final = "({agent:String} = '' OR t.subject IN ({agent:String}, concat('agent:', {agent:String}), 'all'))"
_SCOPE: Final = """
    ({agent:String} = '' OR t.scope IN (concat('agent:', {agent:String}), 'all') OR startsWith(t.scope, 'tenant:'))"""
_STATEMENT: Final = "t.kind IN ('sql', 'sql_count')"
"""Programs that ask with a person's token ask every few seconds: in a list of what people did each text is one row."""
_WHO: Final = """
    ({who:String} = '' OR t.actor = {who:String}
      OR t.actor IN (concat('operator:', {who:String}), concat('user:', {who:String})))"""
_COUNT: Final = "greatest(JSONExtractUInt(t.payload, 'count'), 1)"
_COMMAND: Final = "JSONExtractString(t.payload, 'command', 'id')"
_ORDER: Final = f"if(JSONHas(t.payload, 'command'), {_COMMAND}, JSONExtractString(t.payload, 'order'))"
_OUTCOMES: Final = """(
    SELECT subject, any(reason) AS word, any(payload) AS told FROM audit_log WHERE kind = 'outcome' GROUP BY subject)"""
_ORDERS: Final = "('kill', 'resume', 'trip', 'reset', 'set_mode', 'replay', 'discard')"


def _s(column: str, name: str = "") -> str:
    """A time of the table as Unix seconds."""
    return f"toUnixTimestamp64Micro({column}) / 1000000 AS {name or column.rpartition('.')[2]}"


def _during(word: str, stops: str) -> str:
    """Actions inside the times that ``stops`` lists (agent, since, until, reason); those of an agent do not overlap."""
    return f"""
        SELECT {_s("t.time")}, t.agent AS agent, t.action AS action, t.operation AS operation, t.target AS target,
            t.ok AS ok, '{word}' AS was, {_s("stop.since", "stopped")}, stop.reason AS reason, t.trace_id AS trace_id,
            t.span_id AS span_id
        FROM agent_events AS t
        ASOF INNER JOIN ({stops}) AS stop ON stop.agent = t.agent AND t.time > stop.since
        WHERE t.time < stop.until AND {_SINCE} AND {_AGENT}"""


def _ask(about: str, sql: str, defaults: Mapping[str, Any]) -> Query:
    return Query(about, f"{sql} LIMIT {{limit:UInt32}}", defaults)


QUESTIONS: Final[Mapping[str, Query]] = {
    "kills": _ask(
        "who cut whom, and why; who let them run again, with whom, and why",
        f"""SELECT {_s("t.since")}, t.actor AS by, t.scope, t.reason, {_s("t.until", "lifted")}, t.lifted_by, t.second,
                t.lifted_because
            FROM audit_kills AS t WHERE {_FROM} AND {_SCOPE} ORDER BY t.since DESC""",
        _OF,
    ),
    "allowed": _ask(
        "who let an agent act again or took its fuse out: resumes, resets and changes of mode, with who agreed",
        f"""SELECT {_s("t.time")}, t.kind, t.actor AS by, t.subject, t.reason,
                JSONExtractString(t.payload, 'second') AS second,
                JSONExtractString(t.payload, 'command', 'mode') AS mode,
                length(JSONExtract(t.payload, 'command', 'lifts', 'Array(String)')) AS kills, o.word AS outcome
            FROM audit_log AS t
            LEFT JOIN {_OUTCOMES} AS o ON o.subject = {_COMMAND}
            WHERE t.kind IN ('resume', 'reset', 'set_mode') AND {_SINCE} AND {_SUBJECT} ORDER BY t.time DESC""",
        _OF,
    ),
    "trips": _ask(
        "which circuits opened, by which detector or person, on what finding, and when they moved on",
        f"""SELECT {_s("t.since")}, t.agent, t.actor AS by, t.reason, t.score, t.threshold, t.repeated, t.spans,
                {_s("t.until")}, t.finding, t.seq
            FROM audit_circuits AS t WHERE t.state = 'open' AND {_FROM} AND {_AGENT} ORDER BY t.since DESC""",
        _OF,
    ),
    "evidence": _ask(
        "the actions behind each opening: what the agent did that a detector saw",
        f"""SELECT t.seq, {_s("t.acted")}, t.agent, t.action, t.operation, t.target, t.ok, t.input_tokens,
                t.output_tokens, t.cost_usd, t.stored, t.trace_id, t.span_id
            FROM audit_evidence AS t
            WHERE t.kind IN ('trip', 'transition', 'finding', 'withheld') AND {_SINCE}
              AND ({{agent:String}} = '' OR t.subject = {{agent:String}})
            ORDER BY t.seq DESC, t.acted, t.span_id""",
        _OF,
    ),
    "refusals": _ask(
        "what guards denied or held, by guard, agent and reason",
        f"""SELECT t.kind, t.actor AS guard, t.subject AS agent, t.reason, sum({_COUNT}) AS times,
                {_s("min(t.time)", "first")}, {_s("max(t.time)", "last")}, any(t.trace_id) AS trace
            FROM audit_log AS t
            WHERE t.kind IN ('denial', 'hold', 'allow') AND {_SINCE}
              AND ({{agent:String}} = '' OR t.subject = {{agent:String}})
            GROUP BY t.kind, t.actor, t.subject, t.reason ORDER BY times DESC, t.subject, t.actor""",
        _OF,
    ),
    "despite": _ask(
        "actions of an agent while its circuit was open or it was killed: what got through, or was under way",
        f"""SELECT * FROM ({_during("open", _OPEN)} UNION ALL {_during("killed", _KILLED)})
            ORDER BY time DESC, span_id""",
        _OF,
    ),
    "knew": _ask(
        "what an agent knew when it decided: entries of its workflow's context that it had read before each action",
        f"""SELECT {_s("t.time")}, t.agent AS agent, t.action AS action, t.operation AS operation, t.target AS target,
                t.workflow AS workflow, r.number AS entry, w.type AS type, w.name AS name, w.writer AS writer,
                {_s("w.time", "written")}, w.body AS body, t.trace_id AS trace_id, t.span_id AS span_id
            FROM agent_events AS t
            INNER JOIN (
                SELECT tenant, workflow, agent, trace_id, number, min(time) AS given FROM context_reads
                WHERE {{agent:String}} = '' OR agent = {{agent:String}}
                GROUP BY tenant, workflow, agent, trace_id, number) AS r
                ON r.trace_id = t.trace_id AND r.agent = t.agent AND r.workflow = t.workflow AND r.tenant = t.tenant
            LEFT JOIN (
                SELECT tenant, workflow, number, min(time) AS time, any(writer) AS writer, any(type) AS type,
                    any(name) AS name, any(body) AS body
                FROM context_writes GROUP BY tenant, workflow, number) AS w
                ON w.tenant = r.tenant AND w.workflow = r.workflow AND w.number = r.number
            WHERE t.action IN ('model_call', 'tool_call', 'publish') AND {_SINCE} AND {_AGENT}
              AND r.given <= t.time - toIntervalMicrosecond(toInt64(t.duration_s * 1000000))
            ORDER BY t.time DESC, t.span_id, r.number""",
        _OF,
    ),
    "standing": _ask(
        "what stands now: kills that nobody lifted and circuits that are not closed",
        f"""SELECT * FROM (
                SELECT 'killed' AS state, t.scope AS subject, {_s("t.since")}, t.actor AS by, t.reason AS reason
                FROM audit_kills AS t WHERE t.until > '2099-01-01' AND {_FROM} AND {_SCOPE}
                UNION ALL
                SELECT t.state AS state, t.agent AS subject, {_s("t.since")}, t.actor AS by, t.reason AS reason
                FROM audit_circuits AS t
                WHERE t.until > '2099-01-01' AND t.state NOT IN ('closed', '') AND {_FROM} AND {_AGENT})
            ORDER BY since DESC""",
        _OF,
    ),
    "receipts": _ask(
        "how many seconds each process took to obey each order (an order that nobody obeyed has an empty process)",
        f"""SELECT {_s("t.time")}, t.kind, t.subject, t.actor AS by, r.process,
                if(r.process = '', NULL, r.applied - toUnixTimestamp64Micro(t.time) / 1000000) AS seconds
            FROM audit_log AS t
            LEFT JOIN (
                SELECT subject AS command, actor AS process, JSONExtractFloat(payload, 'applied_at') AS applied
                FROM audit_log WHERE kind = 'receipt') AS r ON r.command = {_COMMAND}
            WHERE t.kind IN ('kill', 'resume', 'reset', 'set_mode') AND {_SINCE} AND {_SUBJECT}
            ORDER BY t.time DESC, r.process""",
        _OF,
    ),
    "spend": _ask(
        "what the traces of openings and denials used and cost, at today's prices",
        f"""SELECT {_s("t.time")}, t.kind, t.subject AS agent, t.reason, t.attempts, t.tokens, t.cost_usd,
                t.unpriced_tokens, t.trace_id
            FROM audit_tokens AS t
            WHERE {_SINCE} AND ({{agent:String}} = '' OR t.subject = {{agent:String}})
            ORDER BY t.cost_usd DESC, t.time DESC""",
        _OF,
    ),
    "unfinished": _ask(
        "orders whose outcome is not on record, or that broke off",
        f"""SELECT {_s("t.time")}, t.kind, t.actor AS by, t.subject, t.reason, o.word AS outcome
            FROM audit_log AS t LEFT JOIN {_OUTCOMES} AS o ON o.subject = {_ORDER}
            WHERE t.kind IN {_ORDERS} AND {_ORDER} != '' AND o.word != 'done' AND {_SINCE} ORDER BY t.time DESC""",
        _ALL,
    ),
    "did": _ask(
        "everything a person did: orders, logins, statements (each once, with its last time), replays, repricings",
        f"""SELECT {_s("max(t.time)", "time")}, t.actor AS by, t.kind, t.subject, t.reason, count() AS times, t.writer,
                max(t.seq) AS seq
            FROM audit_log AS t
            WHERE {_SINCE} AND {_WHO} AND (match(t.actor, '^(operator|user):') OR {_STATEMENT})
            GROUP BY t.actor, t.kind, t.subject, t.reason, t.writer, if({_STATEMENT}, 0, t.seq)
            ORDER BY time DESC, t.writer, seq DESC""",
        _BY,
    ),
    "logins": _ask(
        "whose token was used first from where, and who was not let in",
        f"""SELECT t.kind, t.actor AS by, t.subject, t.reason, sum({_COUNT}) AS times,
                {_s("min(t.time)", "first")}, {_s("max(t.time)", "last")}
            FROM audit_log AS t WHERE t.kind IN ('login', 'login_failed') AND {_SINCE} AND {_WHO}
            GROUP BY t.kind, t.actor, t.subject, t.reason ORDER BY last DESC""",
        _BY,
    ),
    "access": _ask(
        "who was given a token, or lost it: operators, readers and agent processes (principals)",
        f"""SELECT {_s("t.time")}, t.subject AS name, JSONExtractString(t.payload, 'list') AS list,
                if(JSONExtractBool(t.payload, 'added'), 'added', 'removed') AS what
            FROM audit_log AS t WHERE t.kind = 'operator' AND {_SINCE} ORDER BY t.time DESC""",
        _ALL,
    ),
    "statements": _ask(
        "what ran on the SQL console: by whom, the text, how it ended; repeated ones are counted",
        f"""SELECT {_s("t.time")}, t.actor AS reader, t.subject AS outcome, t.reason AS statement,
                JSONExtractUInt(t.payload, 'rows') AS rows, JSONExtractUInt(t.payload, 'read_rows') AS read_rows,
                JSONExtractUInt(t.payload, 'ms') AS ms, JSONExtractString(t.payload, 'error') AS error
            FROM audit_log AS t WHERE {_STATEMENT} AND {_SINCE} AND {_WHO}
            ORDER BY t.time DESC, t.seq DESC""",
        _BY,
    ),
    "configuration": _ask(
        "what changed in settings, rules, registry and prices, from one start of a role to the next",
        f"""SELECT {_s("t.time")}, t.subject AS role, t.actor AS by, change.1 AS name, change.2 AS before,
                change.3 AS after
            FROM audit_log AS t
            ARRAY JOIN JSONExtract(t.payload, 'diff',
                'Array(Tuple(name String, before Nullable(String), after Nullable(String)))') AS change
            WHERE t.kind = 'config' AND {_SINCE} ORDER BY t.time DESC, t.seq DESC, name""",
        _ALL,
    ),
    "messages": _ask(
        "dead and held messages that somebody replayed or threw away, and spans that were offered again",
        f"""SELECT {_s("t.time")}, t.kind, t.actor AS by, t.subject AS whose,
                JSONExtractString(t.payload, 'queue') AS queue,
                t.reason AS chosen, JSONExtractUInt(o.told, 'count') AS count, o.word AS outcome
            FROM audit_log AS t
            LEFT JOIN {_OUTCOMES} AS o ON o.subject = JSONExtractString(t.payload, 'order')
            WHERE t.kind IN ('replay', 'discard') AND {_SINCE} ORDER BY t.time DESC""",
        _ALL,
    ),
    "repricings": _ask(
        "who changed what spans cost: rows, and their sum before and after in US dollars",
        f"""SELECT {_s("any(t.time)", "time")}, any(t.actor) AS by, any(t.reason) AS reason, count() AS rows,
                sum(ifNull(t.before_usd, 0)) AS before_usd, countIf(t.before_usd IS NULL) AS unpriced_before,
                sum(ifNull(t.cost_usd, 0)) AS after_usd, t.seq AS seq
            FROM (SELECT DISTINCT * FROM ledger_repricings) AS t WHERE {_SINCE}
            GROUP BY t.writer, t.seq ORDER BY t.seq DESC""",
        _ALL,
    ),
    "alerts": _ask(
        "whether people were told: what became of each alert, at each sink",
        f"""SELECT {_s("t.time")}, t.subject AS alert, t.actor AS sink, JSONExtractString(t.payload, 'fate') AS fate,
                t.reason AS detail
            FROM audit_log AS t WHERE t.kind = 'alert' AND {_SINCE} ORDER BY t.time DESC""",
        _ALL,
    ),
    "unverified": _ask(
        "how far each writer's log is verified, what is not yet, and numbers that the copy lacks",
        f"""SELECT t.writer, max(t.seq) AS newest, max(t.verified_to) AS verified_to,
                countIf(NOT t.verified) AS unverified, {_s("minIf(t.time, NOT t.verified)", "since")},
                toInt64(newest) + 1 - uniqExact(t.seq) AS missing
            FROM audit_entries AS t GROUP BY t.writer ORDER BY t.writer""",
        {"limit": 100},
    ),
}
"""By the name that people use."""

ASKED: Final[Mapping[str, Query]] = {PREFIX + name: query for name, query in QUESTIONS.items()}
"""By the name among all queries."""
