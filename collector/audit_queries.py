"""Named queries on the journal's copy, as a verification reads it: raw columns, the time in microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.query import Query

COPY: Final[Mapping[str, Query]] = {
    "audit_sizes": Query(
        "of each writer: one more than the highest number in the copy, and rows that carry no proof",
        """SELECT writer, maxIf(seq + 1, payload_hash != '') AS size, countIf(payload_hash = '') AS unproven
            FROM audit_log GROUP BY writer ORDER BY writer""",
    ),
    "audit_rows": Query(
        "the copy's raw rows of a writer, a range of numbers at a time",
        """SELECT seq, writer, toUnixTimestamp64Micro(time) AS us, kind, actor, subject, reason, trace_id, span_id,
                payload, payload_hash, prev, hash
            FROM audit_log
            WHERE writer = {writer:String} AND payload_hash != '' AND seq >= {first:UInt64} AND seq < {below:UInt64}
            ORDER BY seq""",
    ),
    "audit_without_span": Query(
        "spans that entries name as their evidence and that are not stored, and the oldest of these entries",
        """SELECT uniqExact(evidence.trace_id, evidence.span_id) AS spans,
                uniqExact(evidence.writer, evidence.seq) AS entries,
                argMin(evidence.writer, evidence.time) AS writer, argMin(evidence.seq, evidence.time) AS seq
            FROM audit_evidence AS evidence
            WHERE NOT stored AND evidence.time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
              AND evidence.time < fromUnixTimestamp64Micro(toInt64({until:Float64} * 1000000))""",
    ),
}
