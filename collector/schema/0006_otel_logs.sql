-- Logs, and the events that travel as logs: the table of the OpenTelemetry Collector's ClickHouse exporter, its columns
-- in its order, then ours with defaults. Partitions, fsync and deduplication are those of otel_traces. A log record has
-- no id of its own, so receive gives it one (`_id`): it tells which rows of a half-written batch are missing.
CREATE TABLE IF NOT EXISTS otel_logs
(
    `Timestamp` DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    `TimestampTime` DateTime DEFAULT toDateTime(`Timestamp`),
    `TraceId` String CODEC(ZSTD(1)),
    `SpanId` String CODEC(ZSTD(1)),
    `TraceFlags` UInt8,
    `SeverityText` LowCardinality(String) CODEC(ZSTD(1)),
    `SeverityNumber` UInt8,
    `ServiceName` LowCardinality(String) CODEC(ZSTD(1)),
    `Body` String CODEC(ZSTD(1)),
    `ResourceSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ResourceAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `ScopeSchemaUrl` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeName` String CODEC(ZSTD(1)),
    `ScopeVersion` LowCardinality(String) CODEC(ZSTD(1)),
    `ScopeAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `LogAttributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `EventName` String CODEC(ZSTD(1)),
    `_batch` String DEFAULT '' CODEC(ZSTD(1)),
    `_principal` LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    `_received` DateTime64(6) DEFAULT now64(6) CODEC(Delta(8), ZSTD(1)),
    `_id` String DEFAULT '' CODEC(ZSTD(1)),
    INDEX `idx_trace_id` `TraceId` TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX `idx_res_attr_key` mapKeys(`ResourceAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_res_attr_value` mapValues(`ResourceAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_scope_attr_key` mapKeys(`ScopeAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_scope_attr_value` mapValues(`ScopeAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_log_attr_key` mapKeys(`LogAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_log_attr_value` mapValues(`LogAttributes`) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX `idx_body` `Body` TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8,
    INDEX `idx_batch` `_batch` TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(least(greatest(`Timestamp`, `_received` - toIntervalDay(30)), `_received` + toIntervalDay(1)))
PRIMARY KEY (`ServiceName`, `TimestampTime`)
ORDER BY (`ServiceName`, `TimestampTime`, `Timestamp`)
SETTINGS
    index_granularity = 8192, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

-- The door for batches that hold logs: spans and logs come in one insert under one token, so a batch is stored whole,
-- whatever is in it. Spans go on to the door of the batches that hold none, which then cost nothing for logs.
CREATE TABLE IF NOT EXISTS otlp_ingest_logs AS otlp_ingest ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_ingest_spans_mv TO otlp_ingest AS
SELECT resource_spans, batch, formed_unix_nano FROM otlp_ingest_logs WHERE notEmpty(resource_spans);

ALTER TABLE otlp_ingest_logs ADD COLUMN IF NOT EXISTS `resource_logs` Array(Tuple(
    resource Tuple(attributes Array(Tuple(key String, value Tuple(
        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
        double_value Nullable(Float64), bytes_value Nullable(String))))),
    scope_logs Array(Tuple(
        scope Tuple(name String, version String, attributes Array(Tuple(key String, value Tuple(
            string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
            double_value Nullable(Float64), bytes_value Nullable(String))))),
        log_records Array(Tuple(
            time_unix_nano UInt64, observed_time_unix_nano UInt64, severity_number Int32, severity_text String,
            body Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                double_value Nullable(Float64), bytes_value Nullable(String)),
            attributes Array(Tuple(key String, value Tuple(
                string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                double_value Nullable(Float64), bytes_value Nullable(String)))),
            flags UInt32, trace_id String, span_id String, event_name String)),
        schema_url String)),
    schema_url String));

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_ingest_logs_mv TO otel_logs AS
WITH
    value -> coalesce(
        value.string_value, toString(value.int_value), toString(value.double_value), toString(value.bool_value),
        base64Encode(value.bytes_value), '') AS text,
    kvs -> mapFromArrays(arrayMap(kv -> kv.key, kvs), arrayMap(kv -> text(kv.value), kvs)) AS attributes,
    attributes(rl.resource.attributes) AS res,
    attributes(record.attributes) AS own,
    if(record.time_unix_nano = 0, record.observed_time_unix_nano, record.time_unix_nano) AS nano
SELECT
    fromUnixTimestamp64Nano(toInt64(least(nano, 4294967295999999999))) AS Timestamp,
    lower(hex(record.trace_id)) AS TraceId,
    lower(hex(record.span_id)) AS SpanId,
    toUInt8(bitAnd(record.flags, 255)) AS TraceFlags,
    record.severity_text AS SeverityText,
    toUInt8(least(greatest(record.severity_number, 0), 255)) AS SeverityNumber,
    res['service.name'] AS ServiceName,
    text(record.body) AS Body,
    rl.schema_url AS ResourceSchemaUrl,
    mapFilter((k, v) -> k NOT IN ('fusebox.principal', 'fusebox.received'), res) AS ResourceAttributes,
    scope.schema_url AS ScopeSchemaUrl,
    scope.scope.name AS ScopeName,
    scope.scope.version AS ScopeVersion,
    attributes(scope.scope.attributes) AS ScopeAttributes,
    if(nano > 4294967295999999999,
       mapConcat(mapFilter((k, v) -> k != 'fusebox.log.id', own), map('fusebox.time_unix_nano', toString(nano))),
       mapFilter((k, v) -> k != 'fusebox.log.id', own)) AS LogAttributes,
    record.event_name AS EventName,
    batch AS _batch,
    res['fusebox.principal'] AS _principal,
    if(toFloat64OrZero(res['fusebox.received']) > 0,
       fromUnixTimestamp64Micro(toInt64(least(toFloat64OrZero(res['fusebox.received']), 4294967295) * 1000000)),
       fromUnixTimestamp64Micro(toInt64(intDiv(least(formed_unix_nano, 4294967295999999999), 1000)))) AS _received,
    own['fusebox.log.id'] AS _id
FROM
(
    SELECT rl, scope, record, batch, formed_unix_nano
    FROM
    (
        SELECT rl, scope, batch, formed_unix_nano
        FROM (SELECT arrayJoin(resource_logs) AS rl, batch, formed_unix_nano FROM otlp_ingest_logs)
        ARRAY JOIN rl.scope_logs AS scope
    )
    ARRAY JOIN scope.log_records AS record
);
