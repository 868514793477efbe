-- What agents added to the contexts of their workflows, and which entries they were given: the spans that
-- rabbitmq/workflow.py opens, one row for each entry. Numbers are per workflow; a fact's version is one, too.
CREATE VIEW IF NOT EXISTS context_writes AS
SELECT
    addNanoseconds(Timestamp, least(Duration, 3600000000000)) AS time,
    SpanAttributes['fusebox.tenant'] AS tenant,
    SpanAttributes['fusebox.workflow'] AS workflow,
    toUInt64OrZero(SpanAttributes['fusebox.context.wrote']) AS number,
    SpanAttributes['gen_ai.agent.id'] AS writer,
    SpanAttributes['fusebox.context.type'] AS type,
    SpanAttributes['fusebox.context.name'] AS name,
    SpanAttributes['fusebox.context.body'] AS body,
    TraceId AS trace_id,
    SpanId AS span_id
FROM otel_traces
WHERE has(mapKeys(SpanAttributes), 'fusebox.context.wrote');

-- "1-12,15" is at most 1,000 numbers a range here, whatever a span claims.
CREATE VIEW IF NOT EXISTS context_reads AS
SELECT
    time, tenant, workflow, agent, trace_id, span_id, arrayJoin(numbers) AS number
FROM
(
    SELECT
        addNanoseconds(Timestamp, least(Duration, 3600000000000)) AS time,
        SpanAttributes['fusebox.tenant'] AS tenant,
        SpanAttributes['fusebox.workflow'] AS workflow,
        SpanAttributes['gen_ai.agent.id'] AS agent,
        TraceId AS trace_id,
        SpanId AS span_id,
        arrayFlatten(arrayMap(
            part -> range(
                toUInt64OrZero(splitByChar('-', part)[1]),
                least(toUInt64OrZero(splitByChar('-', part)[-1]), toUInt64OrZero(splitByChar('-', part)[1]) + 999) + 1),
            arraySlice(splitByChar(',', SpanAttributes['fusebox.context.read']), 1, 1000))) AS numbers
    FROM otel_traces
    WHERE has(mapKeys(SpanAttributes), 'fusebox.context.read') AND SpanAttributes['fusebox.context.read'] != ''
);
