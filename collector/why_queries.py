"""Named queries of ``fusebox why``: spans by their place among causes, and what the audit log says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.query import Query

BRANCH: Final = """
    toUnixTimestamp64Nano(Timestamp) / 1000000000 AS start, Duration / 1000000000 AS duration_s, TraceId AS trace_id,
    SpanId AS span_id, ParentSpanId AS parent_id, SpanName AS name, SpanKind AS kind, ServiceName AS service,
    StatusCode AS status, StatusMessage AS status_message, arrayZip(Links.TraceId, Links.SpanId) AS links"""
"""Columns of a span in a tree."""
SPAN: Final = f"{BRANCH}, SpanAttributes AS attributes"
"""Columns of a span, as everybody who asks for one gets them."""
_TIMES: Final = "FROM otel_traces_trace_id_ts WHERE TraceId"
OF_TRACE: Final = f"""TraceId = {{trace_id:String}}
              AND Timestamp >= (SELECT min(Start) {_TIMES} = {{trace_id:String}})
              AND Timestamp <= (SELECT max(End) + 1 {_TIMES} = {{trace_id:String}})"""
"""The times spare the days in which the trace was not: their indexes are not even read. Not ``<``: for ``Timestamp <``
a whole second the engine looks for ``<=`` the second before, and leaves out parts that lie wholly between the two."""
_TRACES: Final = "(SELECT splitByChar(':', arrayJoin({spans:Array(String)}))[1])"
OF_TRACES: Final = f"""TraceId IN {_TRACES}
              AND Timestamp >= (SELECT min(Start) {_TIMES} IN {_TRACES})
              AND Timestamp <= (SELECT max(End) + 1 {_TIMES} IN {_TRACES})"""
_ENTRY: Final = """
    seq, writer, toUnixTimestamp64Micro(time) / 1000000 AS time, kind, actor, subject, reason, trace_id, span_id,
    payload"""
_BY_ARRIVAL: Final = "ORDER BY Timestamp, SpanId"

WHY: Final[Mapping[str, Query]] = {
    "span": Query(
        "one span of a trace, with its attributes",
        f"""SELECT {SPAN} FROM otel_traces WHERE {OF_TRACE} AND SpanId = {{span_id:String}} {_BY_ARRIVAL} LIMIT 1""",
    ),
    "span_of_any_trace": Query(
        "one span by its id alone, which takes longer than within a trace",
        f"""SELECT {SPAN} FROM otel_traces WHERE SpanId = {{span_id:String}} {_BY_ARRIVAL} LIMIT 1""",
    ),
    "spans_at": Query(
        "spans by their ids; spans is a list of 'trace_id:span_id'",
        f"""SELECT {SPAN} FROM otel_traces
            WHERE {OF_TRACES} AND concat(TraceId, ':', SpanId) IN {{spans:Array(String)}} {_BY_ARRIVAL} LIMIT 10000""",
    ),
    "spans_below": Query(
        "the spans directly below some spans; spans is a list of 'trace_id:span_id'",
        f"""SELECT {SPAN} FROM otel_traces
            WHERE {OF_TRACES} AND concat(TraceId, ':', ParentSpanId) IN {{spans:Array(String)}}
            {_BY_ARRIVAL} LIMIT {{limit:UInt32}}""",
        {"limit": 10_000},
    ),
    "spans_linking": Query(
        "the spans that have a link to one of some spans; spans is a list of 'trace_id:span_id'",
        f"""SELECT {SPAN} FROM otel_traces
            WHERE hasAny(Links.SpanId, arrayMap(each -> splitByChar(':', each)[2], {{spans:Array(String)}}))
              AND arrayExists((trace, span) -> concat(trace, ':', span) IN {{spans:Array(String)}},
                  Links.TraceId, Links.SpanId) {_BY_ARRIVAL} LIMIT {{limit:UInt32}}""",
        {"limit": 10_000},
    ),
    "message_spans": Query(
        "the spans that carried a message, publisher first",
        f"""SELECT {SPAN} FROM otel_traces
            WHERE SpanAttributes['messaging.message.id'] = {{message_id:String}}
              AND has(mapValues(SpanAttributes), {{message_id:String}}) {_BY_ARRIVAL} LIMIT 100""",
    ),
    "row_spans": Query(
        "the newest span one of whose attributes is exactly this, tool calls first: who touched a ticket or a row",
        f"""SELECT {SPAN} FROM otel_traces
            WHERE has(mapValues(SpanAttributes), {{row:String}})
            ORDER BY SpanAttributes['gen_ai.operation.name'] = 'execute_tool'
                OR SpanAttributes['fusebox.action'] = 'tool_call' DESC, Timestamp DESC, SpanId LIMIT 1""",
    ),
    "audit_entry": Query(
        "one entry of the journal's copy",
        f"""SELECT {_ENTRY} FROM audit_log
            WHERE audit_log.writer = {{writer:String}} AND audit_log.seq = {{seq:UInt64}} LIMIT 1""",
        {"writer": "watch", "seq": 0},
    ),
    "audit_of_traces": Query(
        "what guards, detectors and people decided about actions of some traces, and by some approvals, oldest first",
        f"""SELECT {_ENTRY} FROM audit_log
            WHERE audit_log.trace_id IN {{traces:Array(String)}} AND audit_log.trace_id != ''
              OR kind IN ('approval', 'commit') AND audit_log.subject IN {{approvals:Array(String)}}
            ORDER BY audit_log.time, seq LIMIT 1000""",
    ),
    "audit_orders": Query(
        "the newest order of a person about each of some subjects, before a time",
        f"""SELECT {_ENTRY} FROM audit_log
            WHERE kind IN ('kill', 'resume', 'reset', 'set_mode') AND audit_log.subject IN {{subjects:Array(String)}}
              AND audit_log.time <= fromUnixTimestamp64Micro(toInt64({{until:Float64}} * 1000000))
            ORDER BY audit_log.time DESC, seq DESC LIMIT 1 BY audit_log.subject LIMIT 1000""",
    ),
}
