-- The copy of the journal (the journal's files are the record; a verification compares both).
CREATE TABLE IF NOT EXISTS audit_log
(
    `seq` UInt64,
    `writer` LowCardinality(String),
    `time` DateTime64(6),
    `kind` LowCardinality(String),
    `actor` String,
    `subject` String,
    `reason` String,
    `trace_id` String,
    `span_id` String,
    `payload` String CODEC(ZSTD(1)),
    `prev` String,
    `hash` String
)
ENGINE = MergeTree
ORDER BY (`writer`, `seq`)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;
