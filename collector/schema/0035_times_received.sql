-- A trace's times are kept as long as its spans, from their receipt on: by the times that spans claim, those of old ones that
-- came late went at once, and nothing found the spans any more.
ALTER TABLE otel_traces_trace_id_ts ADD COLUMN IF NOT EXISTS `_received` DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1));

ALTER TABLE otel_traces_trace_id_ts_mv MODIFY QUERY
SELECT
    `TraceId`,
    toDateTime(min(`Timestamp`)) AS `Start`,
    toDateTime(max(`Timestamp`)) AS `End`,
    toDateTime(max(otel_traces.`_received`)) AS `_received`
FROM otel_traces
WHERE `TraceId` != ''
GROUP BY `TraceId`;
