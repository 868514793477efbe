-- The highest score of each detector for each agent, a minute at a time: what watch says in spans named
-- fusebox.detector.score. A span that is stored twice is one row.
CREATE TABLE IF NOT EXISTS detector_scores
(
    `minute` DateTime CODEC(Delta(4), ZSTD(1)),
    `tenant` LowCardinality(String),
    `agent` LowCardinality(String),
    `detector` LowCardinality(String),
    `score` Float64 CODEC(ZSTD(1)),
    `trace_id` String CODEC(ZSTD(1)),
    `span_id` String CODEC(ZSTD(1)),
    `batch` String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(`minute`)
ORDER BY (`tenant`, `agent`, `detector`, `minute`)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS detector_scores_mv TO detector_scores AS
SELECT
    toStartOfMinute(Timestamp) AS minute,
    if(SpanAttributes['fusebox.tenant'] != '', SpanAttributes['fusebox.tenant'], 'default') AS tenant,
    SpanAttributes['fusebox.score.agent'] AS agent,
    SpanAttributes['fusebox.score.detector'] AS detector,
    toFloat64OrZero(SpanAttributes['fusebox.score.value']) AS score,
    TraceId AS trace_id,
    SpanId AS span_id,
    _batch AS batch
FROM otel_traces
WHERE SpanName = 'fusebox.detector.score' AND agent != '';
