-- The token ledger: one row for each attempt of an inference, failed and cut ones too, on leaf spans only. A span whose
-- usage is counted elsewhere (fusebox.usage.delegated) has no row; spans that repeat their children's usage
-- (invoke_agent) are no inference and have none either. Cache tokens are part of input_tokens and reasoning tokens of
-- output_tokens, as the GenAI conventions say; a row that breaks this is flagged in `violation` and kept as it came. A
-- count of 2^53 and more is flagged too and counts as not told: it would spoil every sum.
--
-- A cost that nobody knows is NULL, never 0: `price` says 'unpriced' (tokens without a known price) or 'unmetered' (the
-- attempt reported no tokens), else which price list it was. `wasted` marks what was paid for nothing.
CREATE TABLE IF NOT EXISTS token_ledger
(
    `time` DateTime64(6) CODEC(Delta(8), ZSTD(1)),
    `agent` LowCardinality(String),
    `tenant` LowCardinality(String),
    `workflow` String CODEC(ZSTD(1)),
    `operation` LowCardinality(String),
    `provider` LowCardinality(String),
    `model` LowCardinality(String),
    `outcome` LowCardinality(String),
    `wasted` Bool,
    `input_tokens` UInt64 CODEC(ZSTD(1)),
    `output_tokens` UInt64 CODEC(ZSTD(1)),
    `cache_read_tokens` UInt64 CODEC(ZSTD(1)),
    `cache_creation_tokens` UInt64 CODEC(ZSTD(1)),
    `reasoning_tokens` UInt64 CODEC(ZSTD(1)),
    `violation` LowCardinality(String),
    `cost_usd` Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    `price` LowCardinality(String),
    `duration_s` Float64 CODEC(ZSTD(1)),
    `response_id` String CODEC(ZSTD(1)),
    `trace_id` String CODEC(ZSTD(1)),
    `span_id` String CODEC(ZSTD(1)),
    `parent_id` String CODEC(ZSTD(1)),
    `batch` String CODEC(ZSTD(1)),
    `received` DateTime64(6) CODEC(Delta(8), ZSTD(1)),
    INDEX `idx_batch` `batch` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX `idx_time` `time` TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(`received`)
ORDER BY (`tenant`, `agent`, `time`)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS token_ledger_mv TO token_ledger AS
WITH
    SpanAttributes AS a,
    a['gen_ai.operation.name'] AS gen_ai,
    name -> toUInt64OrZero(a[name]) AS tokens,
    if(tokens('gen_ai.usage.input_tokens') != 0, tokens('gen_ai.usage.input_tokens'),
       tokens('gen_ai.usage.prompt_tokens')) AS input_told,
    if(tokens('gen_ai.usage.output_tokens') != 0, tokens('gen_ai.usage.output_tokens'),
       tokens('gen_ai.usage.completion_tokens')) AS output_told,
    tokens('gen_ai.usage.cache_read.input_tokens') AS read_told,
    tokens('gen_ai.usage.cache_creation.input_tokens') AS created_told,
    tokens('gen_ai.usage.reasoning.output_tokens') AS reasoning_told,
    n -> if(n < 9007199254740992, n, 0) AS sane,
    toDecimal128OrNull(a['fusebox.cost.usd'], 12) AS cost
SELECT
    addNanoseconds(Timestamp, least(Duration, 3600000000000000)) AS time,
    multiIf(
        a['gen_ai.agent.id'] != '', a['gen_ai.agent.id'],
        a['gen_ai.agent.name'] != '', a['gen_ai.agent.name'],
        ServiceName) AS agent,
    if(a['fusebox.tenant'] != '', a['fusebox.tenant'], 'default') AS tenant,
    if(a['fusebox.workflow'] != '', a['fusebox.workflow'], a['gen_ai.conversation.id']) AS workflow,
    gen_ai AS operation,
    if(a['gen_ai.provider.name'] != '', a['gen_ai.provider.name'], a['gen_ai.system']) AS provider,
    if(a['gen_ai.response.model'] != '', a['gen_ai.response.model'], a['gen_ai.request.model']) AS model,
    multiIf(
        a['fusebox.usage.cut'] = 'true', 'cut',
        StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 'error',
        'ok') AS outcome,
    outcome != 'ok' AS wasted,
    sane(input_told) AS input_tokens,
    sane(output_told) AS output_tokens,
    sane(read_told) AS cache_read_tokens,
    sane(created_told) AS cache_creation_tokens,
    sane(reasoning_told) AS reasoning_tokens,
    multiIf(
        greatest(input_told, output_told, read_told, created_told, reasoning_told) >= 9007199254740992,
        'impossible count',
        cache_read_tokens + cache_creation_tokens > input_tokens, 'cache exceeds input',
        reasoning_tokens > output_tokens, 'reasoning exceeds output',
        '') AS violation,
    CAST(if(cost >= 0 AND cost < 1000000, cost, NULL), 'Nullable(Decimal(18, 12))') AS cost_usd,
    multiIf(
        cost_usd IS NOT NULL, if(a['fusebox.cost.price'] != '', a['fusebox.cost.price'], 'unnamed'),
        input_tokens = 0 AND output_tokens = 0, 'unmetered',
        'unpriced') AS price,
    Duration / 1000000000 AS duration_s,
    a['gen_ai.response.id'] AS response_id,
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_id,
    _batch AS batch,
    _received AS received
FROM otel_traces
WHERE SpanAttributes['gen_ai.operation.name'] IN ('chat', 'generate_content', 'text_completion', 'embeddings')
  AND SpanAttributes['fusebox.usage.delegated'] != 'true';

-- What people decided afterwards: a repricing is an entry of the journal, and only its copy in audit_log puts rows here.
CREATE TABLE IF NOT EXISTS ledger_repricings
(
    `trace_id` String CODEC(ZSTD(1)),
    `span_id` String CODEC(ZSTD(1)),
    `cost_usd` Nullable(Decimal(18, 12)),
    `price` LowCardinality(String),
    `before_usd` Nullable(Decimal(18, 12)),
    `before_price` LowCardinality(String),
    `seq` UInt64,
    `writer` LowCardinality(String),
    `time` DateTime64(6),
    `actor` LowCardinality(String),
    `reason` String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (`trace_id`, `span_id`, `writer`, `seq`)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS ledger_repricings_mv TO ledger_repricings AS
SELECT
    row.1 AS trace_id,
    row.2 AS span_id,
    toDecimal64OrNull(row.3, 12) AS cost_usd,
    row.4 AS price,
    toDecimal64OrNull(row.5, 12) AS before_usd,
    row.6 AS before_price,
    seq, writer, time, actor, reason
FROM audit_log
ARRAY JOIN JSONExtract(payload, 'rows', 'Array(Tuple(String, String, String, String, String, String))') AS row
WHERE kind = 'reprice';

-- The ledger as it stands: each row with its newest price.
CREATE VIEW IF NOT EXISTS token_costs AS
SELECT
    ledger.* EXCEPT (cost_usd, price),
    if(newest.price != '', newest.cost_usd, ledger.cost_usd) AS cost_usd,
    if(newest.price != '', newest.price, ledger.price) AS price,
    newest.price != '' AS repriced
FROM token_ledger AS ledger
LEFT JOIN
(
    SELECT
        trace_id,
        span_id,
        argMax(tuple(cost_usd), (time, seq)).1 AS cost_usd,
        argMax(price, (time, seq)) AS price
    FROM ledger_repricings
    GROUP BY trace_id, span_id
) AS newest ON newest.trace_id = ledger.trace_id AND newest.span_id = ledger.span_id;
