-- The attempts behind the evidence of a trip are asked for by their traces.
ALTER TABLE token_ledger ADD INDEX IF NOT EXISTS `idx_trace_id` `trace_id` TYPE bloom_filter(0.001) GRANULARITY 1;
ALTER TABLE token_ledger MATERIALIZE INDEX `idx_trace_id`;

-- The index over links (0024), also for the spans that were there before it: it is asked alone, so it has to be whole.
ALTER TABLE otel_traces ADD INDEX IF NOT EXISTS `idx_link_span_id` Links.SpanId TYPE bloom_filter(0.001) GRANULARITY 1;
ALTER TABLE otel_traces MATERIALIZE INDEX `idx_link_span_id`;
