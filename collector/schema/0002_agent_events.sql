-- One row per action of an agent: fusebox/eventmap.py in SQL. Attribute values are text, so everything is read with a
-- function that cannot fail; old and new attribute names, old and new spellings of kinds and states are accepted, and
-- rows that an OpenTelemetry Collector wrote into otel_traces are as welcome as our own. Tokens and cost
-- stand on inference spans only, and on none that says its usage is counted elsewhere.
CREATE TABLE IF NOT EXISTS agent_events
(
    `time` DateTime64(6) CODEC(Delta(8), ZSTD(1)),
    `agent` LowCardinality(String),
    `tenant` LowCardinality(String),
    `action` LowCardinality(String),
    `operation` LowCardinality(String),
    `target` String CODEC(ZSTD(1)),
    `workflow` String CODEC(ZSTD(1)),
    `request_hash` UInt64 CODEC(ZSTD(1)),
    `simhash` UInt64 CODEC(ZSTD(1)),
    `result_hash` UInt64 CODEC(ZSTD(1)),
    `ok` Bool,
    `error_type` LowCardinality(String),
    `input_tokens` UInt64 CODEC(ZSTD(1)),
    `output_tokens` UInt64 CODEC(ZSTD(1)),
    `cost_usd` Decimal(18, 12) CODEC(ZSTD(1)),
    `price` LowCardinality(String),
    `duration_s` Float64 CODEC(ZSTD(1)),
    `trace_id` String CODEC(ZSTD(1)),
    `span_id` String CODEC(ZSTD(1)),
    `parent_id` String CODEC(ZSTD(1)),
    `lineage` String CODEC(ZSTD(1)),
    `batch` String CODEC(ZSTD(1)),
    `received` DateTime64(6) CODEC(Delta(8), ZSTD(1)),
    INDEX `idx_trace_id` `trace_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX `idx_span_id` `span_id` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX `idx_batch` `batch` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX `idx_time` `time` TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(`received`)
ORDER BY (`tenant`, `agent`, `time`)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS agent_events_mv TO agent_events AS
WITH
    SpanAttributes AS a,
    a['gen_ai.operation.name'] AS gen_ai,
    gen_ai IN ('chat', 'generate_content', 'text_completion', 'embeddings') AS inference,
    a['messaging.operation.type'] AS messaging,
    action = 'model_call' AND a['fusebox.usage.delegated'] != 'true' AS billed,
    toDecimal128OrZero(a['fusebox.cost.usd'], 12) AS cost,
    toUInt64OrZero(a['gen_ai.usage.input_tokens']) AS input_new,
    toUInt64OrZero(a['gen_ai.usage.prompt_tokens']) AS input_old,
    toUInt64OrZero(a['gen_ai.usage.output_tokens']) AS output_new,
    toUInt64OrZero(a['gen_ai.usage.completion_tokens']) AS output_old,
    hex -> if(match(hex, '^[0-9a-fA-F]{1,16}$'), reinterpretAsUInt64(reverse(unhex(leftPad(hex, 16, '0')))), 0) AS number
SELECT
    addNanoseconds(Timestamp, least(Duration, 3600000000000000)) AS time,
    multiIf(
        a['gen_ai.agent.id'] != '', a['gen_ai.agent.id'],
        a['gen_ai.agent.name'] != '', a['gen_ai.agent.name'],
        ServiceName) AS agent,
    if(a['fusebox.tenant'] != '', a['fusebox.tenant'], 'default') AS tenant,
    multiIf(
        a['fusebox.action'] IN ('publish', 'consume', 'model_call', 'tool_call'), a['fusebox.action'],
        inference, 'model_call',
        gen_ai = 'execute_tool', 'tool_call',
        messaging IN ('send', 'publish'), 'publish',
        messaging = 'process', 'consume',
        '') AS action,
    multiIf(
        a['fusebox.operation'] != '', a['fusebox.operation'],
        a['gen_ai.tool.name'] != '', a['gen_ai.tool.name'],
        a['gen_ai.request.model'] != '', a['gen_ai.request.model'],
        a['messaging.destination.name'] != '', a['messaging.destination.name'],
        gen_ai) AS operation,
    a['fusebox.target'] AS target,
    if(a['fusebox.workflow'] != '', a['fusebox.workflow'], a['gen_ai.conversation.id']) AS workflow,
    number(a['fusebox.request.hash']) AS request_hash,
    number(a['fusebox.request.simhash']) AS simhash,
    number(a['fusebox.result.hash']) AS result_hash,
    StatusCode NOT IN ('Error', 'STATUS_CODE_ERROR') AS ok,
    a['error.type'] AS error_type,
    if(billed, if(input_new != 0, input_new, input_old), 0) AS input_tokens,
    if(billed, if(output_new != 0, output_new, output_old), 0) AS output_tokens,
    CAST(if(billed AND cost > 0 AND cost < 1000000, cost, 0), 'Decimal(18, 12)') AS cost_usd,
    a['fusebox.cost.price'] AS price,
    Duration / 1000000000 AS duration_s,
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_id,
    a['fusebox.lineage'] AS lineage,
    _batch AS batch,
    _received AS received
FROM otel_traces
WHERE action != '';
