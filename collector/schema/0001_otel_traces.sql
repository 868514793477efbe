-- The table of the OpenTelemetry Collector's ClickHouse exporter: its columns, in its order, then ours with defaults.
-- Partitions follow the span's day, held between thirty days before and one day after it was received: whatever
-- timestamps arrive, one insert touches few partitions. fsync and the deduplication window make an insert durable when
-- it returns and a retry with its token harmless.
CREATE TABLE IF NOT EXISTS otel_traces
(
    `Timestamp` DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    `TraceId` String CODEC(ZSTD(1)),
    `SpanId` String CODEC(ZSTD(1)),
    `ParentSpanId` String CODEC(ZSTD(1)),
    `TraceState` String CODEC(ZSTD(1)),
    `SpanName` LowCardinality(String) CODEC(ZSTD(1)),
    `SpanKind` LowCardinality(String) CODEC(ZSTD(1)),
    `ServiceName` LowCardinality(String) CODEC(ZSTD(1)),
    `ResourceAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `ScopeName` String CODEC(ZSTD(1)),
    `ScopeVersion` String CODEC(ZSTD(1)),
    `SpanAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `Duration` UInt64 CODEC(ZSTD(1)),
    `StatusCode` LowCardinality(String) CODEC(ZSTD(1)),
    `StatusMessage` String CODEC(ZSTD(1)),
    `Events` Nested(
        `Timestamp` DateTime64(9),
        `Name` LowCardinality(String),
        `Attributes` Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `Links` Nested(
        `TraceId` String,
        `SpanId` String,
        `TraceState` String,
        `Attributes` Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    `_batch` String DEFAULT '' CODEC(ZSTD(1)),
    `_principal` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `_received` DateTime64(6) DEFAULT now64(6) CODEC(Delta(8), ZSTD(1)),
    INDEX `idx_trace_id` `TraceId` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX `idx_res_attr_key` mapKeys(`ResourceAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_res_attr_value` mapValues(`ResourceAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_span_attr_key` mapKeys(`SpanAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_span_attr_value` mapValues(`SpanAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_duration` `Duration` TYPE minmax GRANULARITY 1,
    INDEX `idx_span_id` `SpanId` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX `idx_batch` `_batch` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(least(greatest(`Timestamp`, `_received` - toIntervalDay(30)), `_received` + toIntervalDay(1)))
ORDER BY (`ServiceName`, `SpanName`, toDateTime(`Timestamp`))
SETTINGS
    index_granularity = 8192, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS otel_traces_trace_id_ts
(
    `TraceId` String CODEC(ZSTD(1)),
    `Start` DateTime CODEC(Delta(4), ZSTD(1)),
    `End` DateTime CODEC(Delta(4), ZSTD(1)),
    INDEX `idx_trace_id` `TraceId` TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (`TraceId`, `Start`)
SETTINGS
    index_granularity = 8192, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS otel_traces_trace_id_ts_mv TO otel_traces_trace_id_ts AS
SELECT
    `TraceId`,
    toDateTime(min(`Timestamp`)) AS `Start`,
    toDateTime(max(`Timestamp`)) AS `End`
FROM otel_traces
WHERE `TraceId` != ''
GROUP BY `TraceId`;
