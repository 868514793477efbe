-- An agent's own span of a call that the gateway made for it is no row of agent_events (the gateway's is), but detectors in
-- the agent's process name it as their evidence. It is read where it stands, in otel_traces; its cost stands on the
-- gateway's span.
DROP VIEW IF EXISTS audit_evidence;

CREATE VIEW IF NOT EXISTS audit_evidence AS
WITH
    texts -> arrayMap(text -> (splitByChar(':', text)[1], splitByChar(':', text)[2]), texts) AS pairs,
    hex -> if(match(hex, '^[0-9a-fA-F]{1,16}$'), reinterpretAsUInt64(reverse(unhex(leftPad(hex, 16, '0')))), 0) AS number,
    named AS
    (
        SELECT seq, writer, time, kind, actor, subject, reason, pair
        FROM audit_log
        ARRAY JOIN arrayDistinct(arrayConcat(
            if(span_id != '', [(trace_id, span_id)], []),
            pairs(JSONExtract(payload, 'transition', 'finding', 'spans', 'Array(String)')),
            pairs(JSONExtract(payload, 'finding', 'spans', 'Array(String)')))) AS pair
    ),
    found AS
    (
        SELECT time, agent, action, operation, target, ok, error_type, input_tokens, output_tokens, cost_usd,
            request_hash, result_hash, trace_id, span_id
        FROM agent_events
        WHERE span_id IN (SELECT pair.2 FROM named)
    )
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
FROM named AS entry
LEFT JOIN
(
    SELECT * FROM found
    UNION ALL
    SELECT
        addNanoseconds(Timestamp, least(Duration, 3600000000000000)),
        SpanAttributes['gen_ai.agent.id'],
        'model_call',
        SpanAttributes['fusebox.operation'],
        SpanAttributes['fusebox.target'],
        StatusCode NOT IN ('Error', 'STATUS_CODE_ERROR'),
        SpanAttributes['error.type'],
        toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens']),
        toUInt64OrZero(SpanAttributes['gen_ai.usage.output_tokens']),
        0,
        number(SpanAttributes['fusebox.request.hash']),
        number(SpanAttributes['fusebox.result.hash']),
        TraceId,
        SpanId
    FROM otel_traces
    WHERE SpanId IN (SELECT pair.2 FROM named WHERE pair NOT IN (SELECT trace_id, span_id FROM found))
      AND SpanAttributes['fusebox.usage.delegated'] = 'true'
) AS event ON event.trace_id = entry.pair.1 AND event.span_id = entry.pair.2;
