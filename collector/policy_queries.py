"""Named queries on recorded decisions of policy, for ``fusebox policy explain`` and ``diff``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.query import Query

POLICY: Final[Mapping[str, Query]] = {
    "policy_decisions": Query(
        "what policy decided, alike decisions counted together; an empty action: counted without saying what about",
        """SELECT subject AS agent, JSONExtractString(payload, 'action') AS action,
                JSONExtractString(payload, 'operation') AS resource, JSONExtractString(payload, 'target') AS target,
                argMax(JSONExtractString(payload, 'workflow'), time) AS workflow,
                multiIf(kind = 'denial', 'deny', kind) AS decision,
                sum(greatest(JSONExtractUInt(payload, 'count'), 1)) AS count
            FROM audit_log
            WHERE actor = 'policy' AND kind IN ('allow', 'hold', 'denial')
                AND time >= fromUnixTimestamp64Micro(toInt64({since:Float64} * 1000000))
                AND ({agent:String} = '' OR subject = {agent:String})
            GROUP BY agent, action, resource, target, decision
            ORDER BY agent, action, resource, target, decision
            LIMIT {limit:UInt32}""",
        {"since": 0.0, "agent": "", "limit": 100_000},
    ),
}
