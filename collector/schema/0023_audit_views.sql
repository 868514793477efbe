-- The journal's copy as an auditor reads it: how far the last verification of the writer's chain reached (-1: there was
-- none), and whether it covers this entry.
CREATE VIEW IF NOT EXISTS audit_entries AS
SELECT
    entry.seq AS seq,
    entry.writer AS writer,
    entry.time AS time,
    entry.kind AS kind,
    entry.actor AS actor,
    entry.subject AS subject,
    entry.reason AS reason,
    entry.trace_id AS trace_id,
    entry.span_id AS span_id,
    entry.payload AS payload,
    entry.hash AS hash,
    toInt64(checked.size) - 1 AS verified_to,
    toInt64(entry.seq) < toInt64(checked.size) AS verified
FROM audit_log AS entry
LEFT JOIN
(
    SELECT part.1 AS chain, argMax(part.2, (time, seq)) AS size
    FROM audit_log
    ARRAY JOIN JSONExtractKeysAndValues(payload, 'sizes', 'UInt64') AS part
    WHERE kind = 'verification'
    GROUP BY chain
) AS checked ON checked.chain = entry.writer;

-- Entries joined to spans: each action that an entry names as its evidence. `stored` is false for one that is not here.
CREATE VIEW IF NOT EXISTS audit_evidence AS
WITH
    texts -> arrayMap(text -> (splitByChar(':', text)[1], splitByChar(':', text)[2]), texts) AS pairs
SELECT
    entry.seq AS seq,
    entry.writer AS writer,
    entry.time AS time,
    entry.kind AS kind,
    entry.actor AS actor,
    entry.subject AS subject,
    entry.reason AS reason,
    entry.pair.1 AS trace_id,
    entry.pair.2 AS span_id,
    event.span_id != '' AS stored,
    event.time AS acted,
    event.agent AS agent,
    event.action AS action,
    event.operation AS operation,
    event.target AS target,
    event.ok AS ok,
    event.error_type AS error_type,
    event.input_tokens AS input_tokens,
    event.output_tokens AS output_tokens,
    event.cost_usd AS cost_usd,
    event.request_hash AS request_hash,
    event.result_hash AS result_hash
FROM
(
    SELECT seq, writer, time, kind, actor, subject, reason, pair
    FROM audit_log
    ARRAY JOIN arrayDistinct(arrayConcat(
        if(span_id != '', [(trace_id, span_id)], []),
        pairs(JSONExtract(payload, 'transition', 'finding', 'spans', 'Array(String)')),
        pairs(JSONExtract(payload, 'finding', 'spans', 'Array(String)')))) AS pair
) AS entry
LEFT JOIN
(
    SELECT *
    FROM agent_events
    WHERE span_id IN
    (
        SELECT arrayJoin(arrayConcat(
            [span_id],
            pairs(JSONExtract(payload, 'transition', 'finding', 'spans', 'Array(String)')).2,
            pairs(JSONExtract(payload, 'finding', 'spans', 'Array(String)')).2))
        FROM audit_log
    )
) AS event ON event.trace_id = entry.pair.1 AND event.span_id = entry.pair.2;

-- Entries joined to tokens: what the whole trace of an entry used and cost, at today's prices.
CREATE VIEW IF NOT EXISTS audit_tokens AS
SELECT
    entry.seq AS seq,
    entry.writer AS writer,
    entry.time AS time,
    entry.kind AS kind,
    entry.actor AS actor,
    entry.subject AS subject,
    entry.reason AS reason,
    entry.trace_id AS trace_id,
    used.attempts AS attempts,
    used.tokens AS tokens,
    used.cost AS cost_usd,
    used.unpriced AS unpriced_tokens
FROM audit_log AS entry
LEFT JOIN
(
    SELECT
        trace_id AS trace,
        count() AS attempts,
        sum(input_tokens + output_tokens) AS tokens,
        sum(ifNull(cost_usd, 0)) AS cost,
        sumIf(input_tokens + output_tokens, price = 'unpriced') AS unpriced
    FROM token_costs
    WHERE trace_id IN (SELECT trace_id FROM audit_log WHERE trace_id != '')
    GROUP BY trace
) AS used ON used.trace = entry.trace_id
WHERE entry.trace_id != '';

-- Entries joined to circuits: each state a circuit was in, from when, until when (2100: it still is), and who moved it.
CREATE VIEW IF NOT EXISTS audit_circuits AS
SELECT
    seq,
    writer,
    subject AS agent,
    JSONExtractString(payload, 'transition', 'before') AS before,
    JSONExtractString(payload, 'transition', 'after') AS state,
    time AS since,
    leadInFrame(time, 1, toDateTime64('2100-01-01 00:00:00', 6)) OVER (
        PARTITION BY writer, subject ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS until,
    actor,
    reason,
    JSONExtractString(payload, 'transition', 'finding', 'detector') AS detector,
    JSONExtractFloat(payload, 'transition', 'finding', 'score') AS score,
    JSONExtractFloat(payload, 'transition', 'finding', 'threshold') AS threshold,
    JSONExtractString(payload, 'transition', 'finding', 'repeated') AS repeated,
    JSONExtractString(payload, 'transition', 'finding', 'id') AS finding,
    JSONLength(payload, 'transition', 'finding', 'spans') AS spans,
    trace_id,
    span_id
FROM audit_log
WHERE kind IN ('trip', 'transition') AND JSONHas(payload, 'transition');

-- Each kill, and the resume that lifted it (2100: nobody has). A resume that broke off lifted nothing.
CREATE VIEW IF NOT EXISTS audit_kills AS
SELECT
    killed.seq AS seq,
    killed.writer AS writer,
    killed.time AS since,
    killed.subject AS scope,
    killed.actor AS actor,
    killed.reason AS reason,
    JSONExtractString(killed.payload, 'command', 'id') AS kill,
    if(lifted.kill != '', lifted.at, toDateTime64('2100-01-01 00:00:00', 6)) AS until,
    lifted.actor AS lifted_by,
    lifted.second AS second,
    lifted.reason AS lifted_because
FROM audit_log AS killed
LEFT JOIN
(
    SELECT
        arrayJoin(JSONExtract(payload, 'command', 'lifts', 'Array(String)')) AS kill,
        min(time) AS at,
        argMin(actor, seq) AS actor,
        argMin(reason, seq) AS reason,
        argMin(JSONExtractString(payload, 'second'), seq) AS second
    FROM audit_log
    WHERE kind = 'resume' AND JSONExtractString(payload, 'command', 'id') NOT IN
        (SELECT subject FROM audit_log WHERE kind = 'outcome' AND startsWith(reason, 'failed: '))
    GROUP BY kill
) AS lifted ON lifted.kill = JSONExtractString(killed.payload, 'command', 'id')
WHERE killed.kind = 'kill';
