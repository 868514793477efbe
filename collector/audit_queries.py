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
}
