-- Dead letters that were replayed with success, by the hash that names one, and the letters that still wait.
CREATE TABLE IF NOT EXISTS dead_letters_replayed
(
    `time` DateTime64(6),
    `letter` String
)
ENGINE = MergeTree
ORDER BY `letter`
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS dead_letters_waiting AS
SELECT `time`, `batch`, `reason`, `raw`, lower(hex(SHA256(concat(`batch`, `raw`)))) AS `letter`
FROM dead_letters
WHERE `letter` NOT IN (SELECT `letter` FROM dead_letters_replayed);
