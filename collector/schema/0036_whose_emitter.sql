-- An emitter is one sender's: under another sender's name nobody can make its spans seem missing, or present.
ALTER TABLE emitters
    ADD COLUMN IF NOT EXISTS `principal` LowCardinality(String) AFTER `emitter`,
    MODIFY ORDER BY (`tenant`, `service`, `emitter`, `principal`);

ALTER TABLE emitters_mv MODIFY QUERY
WITH
    SpanAttributes AS a,
    toUInt64OrZero(a['fusebox.seq']) AS seq
SELECT
    if(a['fusebox.tenant'] != '', a['fusebox.tenant'], 'default') AS tenant,
    ServiceName AS service,
    ResourceAttributes['service.instance.id'] AS emitter,
    _principal AS principal,
    groupBitmapState(seq) AS numbers,
    max(toUInt64OrZero(a['fusebox.dropped'])) AS dropped,
    min(_received) AS first,
    max(_received) AS last,
    _batch AS batch,
    max(_received) AS received
FROM otel_traces
WHERE seq BETWEEN 1 AND 9007199254740991 AND emitter != ''
GROUP BY tenant, service, emitter, principal, batch;

DROP VIEW IF EXISTS span_gaps;

CREATE VIEW IF NOT EXISTS span_gaps AS
SELECT
    tenant,
    service,
    emitter,
    principal,
    groupBitmapMerge(numbers) AS stored,
    bitmapMax(groupBitmapMergeState(numbers)) AS highest,
    highest - stored AS missing,
    max(dropped) AS dropped,
    min(first) AS first,
    max(last) AS last
FROM emitters
GROUP BY tenant, service, emitter, principal;
