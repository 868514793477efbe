"""Named queries on what the database does not know: spans that never arrived, and how fresh it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.query import Query

CANARY: Final = "fusebox.canary"
"""Name of the span that *watch* sends through the whole path."""
CANARY_SERVICE: Final = "fusebox"
_CANARIES: Final = f"FROM otel_traces WHERE ServiceName = '{CANARY_SERVICE}' AND SpanName = '{CANARY}'"
_RECEIVED: Final = "toUnixTimestamp64Micro(max(_received)) / 1000000"

TRUTH: Final[Mapping[str, Query]] = {
    "freshness": Query(
        "what was received before this time is stored (0 = not known): receipt of the newest stored canary",
        f"""SELECT if(count() = 0, 0, {_RECEIVED}) AS watermark {_CANARIES}
            AND Timestamp >= fromUnixTimestamp64Micro(toInt64({{since:Float64}} * 1000000))""",
    ),
    "canary": Query(
        "when one canary was received (0 = it is not stored yet)",
        f"""SELECT if(count() = 0, 0, {_RECEIVED}) AS received {_CANARIES} AND SpanId = {{span_id:String}}
            AND Timestamp >= fromUnixTimestamp64Micro(toInt64({{since:Float64}} * 1000000))""",
    ),
    "span_gaps": Query(
        "emitters of which spans are missing (or still on their way), or that gave spans up",
        """SELECT service, emitter, principal, stored, highest, missing, dropped,
                toUnixTimestamp64Micro(first) / 1000000 AS first, toUnixTimestamp64Micro(last) / 1000000 AS last
            FROM span_gaps AS t
            WHERE tenant = {tenant:String} AND (missing > 0 OR dropped > 0)
              AND t.last >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
            ORDER BY missing DESC, service, emitter, principal LIMIT 1000""",
        {"tenant": "default"},
    ),
    "gap_numbers": Query(
        "which numbers of an emitter are missing, as ranges; of one sender, where several name the same emitter",
        """SELECT pair.1 + 1 AS first, pair.2 - 1 AS last
            FROM (SELECT arraySort(bitmapToArray(groupBitmapMergeState(numbers))) AS numbers FROM emitters
                  WHERE tenant = {tenant:String} AND emitter = {emitter:String}
                    AND ({principal:String} = '' OR principal = {principal:String}))
            ARRAY JOIN arrayZip(arrayPopBack(arrayPushFront(numbers, toUInt64(0))), numbers) AS pair
            WHERE pair.2 > pair.1 + 1 ORDER BY first LIMIT 1000""",
        {"tenant": "default", "principal": ""},
    ),
    "written": Query(
        "rows of each table and view target; differences between them are explained by what a view takes",
        """SELECT name AS table, total_rows AS rows, total_bytes AS bytes FROM system.tables
            WHERE database = currentDatabase() AND total_rows IS NOT NULL ORDER BY name""",
    ),
}
