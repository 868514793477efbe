-- What led to each span, as edges: its parent, and what its links point to (across queues and traces).
CREATE VIEW IF NOT EXISTS span_causes AS
SELECT
    Timestamp AS time,
    TraceId AS trace_id,
    SpanId AS span_id,
    SpanName AS name,
    TraceId AS cause_trace_id,
    ParentSpanId AS cause_span_id,
    'parent' AS via
FROM otel_traces
WHERE ParentSpanId != ''
UNION ALL
SELECT
    Timestamp AS time,
    TraceId AS trace_id,
    SpanId AS span_id,
    SpanName AS name,
    link.1 AS cause_trace_id,
    link.2 AS cause_span_id,
    'link' AS via
FROM otel_traces
ARRAY JOIN arrayZip(Links.TraceId, Links.SpanId) AS link;

-- Which spans link to one: the way forward across a queue. It is asked alone, so it covers the spans that are there, too.
ALTER TABLE otel_traces ADD INDEX IF NOT EXISTS `idx_link_span_id` Links.SpanId TYPE bloom_filter(0.001) GRANULARITY 1;
ALTER TABLE otel_traces MATERIALIZE INDEX `idx_link_span_id`;
