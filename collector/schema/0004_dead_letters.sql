-- What the database could not read, with the reason and the bytes as they were in the spool.
CREATE TABLE IF NOT EXISTS dead_letters
(
    `time` DateTime64(6),
    `batch` String,
    `reason` String,
    `raw` String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY `time`
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;
