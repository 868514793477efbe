-- Which numbers of each emitter's spans are stored. An emitter (service.instance.id) is one telemetry pipeline of one
-- process; it numbers its spans 1, 2, 3 … as they end (fusebox.seq), before anything can drop them, so a number that is
-- missing below the highest one is a span that was lost. The numbers are kept as a bitmap for each insert; united, they
-- are the same however often an insert is repeated, so a row too many does no harm here.
CREATE TABLE IF NOT EXISTS emitters
(
    `tenant` LowCardinality(String),
    `service` LowCardinality(String),
    `emitter` String CODEC(ZSTD(1)),
    `numbers` AggregateFunction(groupBitmap, UInt64),
    `dropped` SimpleAggregateFunction(max, UInt64),
    `first` SimpleAggregateFunction(min, DateTime64(6)),
    `last` SimpleAggregateFunction(max, DateTime64(6)),
    `batch` SimpleAggregateFunction(anyLast, String),
    `received` SimpleAggregateFunction(max, DateTime64(6))
)
ENGINE = AggregatingMergeTree
ORDER BY (`tenant`, `service`, `emitter`)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS emitters_mv TO emitters AS
WITH
    SpanAttributes AS a,
    toUInt64OrZero(a['fusebox.seq']) AS seq
SELECT
    if(a['fusebox.tenant'] != '', a['fusebox.tenant'], 'default') AS tenant,
    ServiceName AS service,
    ResourceAttributes['service.instance.id'] AS emitter,
    groupBitmapState(seq) AS numbers,
    max(toUInt64OrZero(a['fusebox.dropped'])) AS dropped,
    min(_received) AS first,
    max(_received) AS last,
    _batch AS batch,
    max(_received) AS received
FROM otel_traces
WHERE seq BETWEEN 1 AND 9007199254740991 AND emitter != ''
GROUP BY tenant, service, emitter, batch;

-- What never arrived: for each emitter how many spans are stored, the highest number seen, and what is missing below it.
-- `dropped` is how many the emitter itself says it gave up. A span on its way is not missing yet: look again.
CREATE VIEW IF NOT EXISTS span_gaps AS
SELECT
    tenant,
    service,
    emitter,
    groupBitmapMerge(numbers) AS stored,
    bitmapMax(groupBitmapMergeState(numbers)) AS highest,
    highest - stored AS missing,
    max(dropped) AS dropped,
    min(first) AS first,
    max(last) AS last
FROM emitters
GROUP BY tenant, service, emitter;
