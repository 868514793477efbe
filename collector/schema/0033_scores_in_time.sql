-- A detector's score belongs to a month in which it may have been received: whatever times spans claim, their rows are in
-- few partitions, as in otel_traces.
ALTER TABLE detector_scores_mv MODIFY QUERY
SELECT
    toStartOfMinute(least(greatest(Timestamp, _received - toIntervalDay(30)), _received + toIntervalDay(1))) AS minute,
    if(SpanAttributes['fusebox.tenant'] != '', SpanAttributes['fusebox.tenant'], 'default') AS tenant,
    SpanAttributes['fusebox.score.agent'] AS agent,
    SpanAttributes['fusebox.score.detector'] AS detector,
    toFloat64OrZero(SpanAttributes['fusebox.score.value']) AS score,
    TraceId AS trace_id,
    SpanId AS span_id,
    _batch AS batch
FROM otel_traces
WHERE SpanName = 'fusebox.detector.score' AND agent != '';
