-- The attempts behind the evidence of a trip are asked for by their traces.
ALTER TABLE token_ledger ADD INDEX IF NOT EXISTS `idx_trace_id` `trace_id` TYPE bloom_filter(0.001) GRANULARITY 1;
ALTER TABLE token_ledger MATERIALIZE INDEX `idx_trace_id`;
