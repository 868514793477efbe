-- The door for spans: INSERT INTO otlp_ingest FORMAT ProtobufSingle with ingest.proto. The table keeps nothing; its view
-- unfolds a batch into otel_traces. A start that DateTime cannot hold is put at its limit and kept in an attribute.
CREATE TABLE IF NOT EXISTS otlp_ingest
(
    `resource_spans` Array(Tuple(
        resource Tuple(attributes Array(Tuple(key String, value Tuple(
            string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
            double_value Nullable(Float64), bytes_value Nullable(String))))),
        scope_spans Array(Tuple(
            scope Tuple(name String, version String),
            spans Array(Tuple(
                trace_id String, span_id String, trace_state String, parent_span_id String, name String, kind Int32,
                start_time_unix_nano UInt64, end_time_unix_nano UInt64,
                attributes Array(Tuple(key String, value Tuple(
                    string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                    double_value Nullable(Float64), bytes_value Nullable(String)))),
                events Array(Tuple(time_unix_nano UInt64, name String, attributes Array(Tuple(key String, value Tuple(
                    string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                    double_value Nullable(Float64), bytes_value Nullable(String)))))),
                links Array(Tuple(trace_id String, span_id String, trace_state String,
                    attributes Array(Tuple(key String, value Tuple(
                        string_value Nullable(String), bool_value Nullable(Bool), int_value Nullable(Int64),
                        double_value Nullable(Float64), bytes_value Nullable(String)))))),
                status Tuple(message String, code Int32)))))
    )),
    `batch` String,
    `formed_unix_nano` UInt64
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_ingest_mv TO otel_traces AS
WITH
    kvs -> mapFromArrays(
        arrayMap(kv -> kv.key, kvs),
        arrayMap(kv -> coalesce(
            kv.value.string_value, toString(kv.value.int_value), toString(kv.value.double_value),
            toString(kv.value.bool_value), base64Encode(kv.value.bytes_value), ''), kvs)) AS attributes,
    nano -> fromUnixTimestamp64Nano(toInt64(least(nano, 4294967295999999999))) AS moment,
    attributes(rs.resource.attributes) AS res
SELECT
    moment(span.start_time_unix_nano) AS Timestamp,
    lower(hex(span.trace_id)) AS TraceId,
    lower(hex(span.span_id)) AS SpanId,
    lower(hex(span.parent_span_id)) AS ParentSpanId,
    span.trace_state AS TraceState,
    span.name AS SpanName,
    transform(span.kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'], 'Unspecified')
        AS SpanKind,
    res['service.name'] AS ServiceName,
    mapFilter((k, v) -> k NOT IN ('fusebox.principal', 'fusebox.received'), res) AS ResourceAttributes,
    scope.scope.name AS ScopeName,
    scope.scope.version AS ScopeVersion,
    if(span.start_time_unix_nano > 4294967295999999999,
       mapConcat(attributes(span.attributes),
                 map('fusebox.start_time_unix_nano', toString(span.start_time_unix_nano))),
       attributes(span.attributes)) AS SpanAttributes,
    if(span.end_time_unix_nano > span.start_time_unix_nano,
       span.end_time_unix_nano - span.start_time_unix_nano, 0) AS Duration,
    transform(span.status.code, [1, 2], ['Ok', 'Error'], 'Unset') AS StatusCode,
    span.status.message AS StatusMessage,
    arrayMap(e -> moment(e.time_unix_nano), span.events) AS `Events.Timestamp`,
    arrayMap(e -> e.name, span.events) AS `Events.Name`,
    arrayMap(e -> attributes(e.attributes), span.events) AS `Events.Attributes`,
    arrayMap(l -> lower(hex(l.trace_id)), span.links) AS `Links.TraceId`,
    arrayMap(l -> lower(hex(l.span_id)), span.links) AS `Links.SpanId`,
    arrayMap(l -> l.trace_state, span.links) AS `Links.TraceState`,
    arrayMap(l -> attributes(l.attributes), span.links) AS `Links.Attributes`,
    batch AS _batch,
    res['fusebox.principal'] AS _principal,
    if(toFloat64OrZero(res['fusebox.received']) > 0,
       fromUnixTimestamp64Micro(toInt64(least(toFloat64OrZero(res['fusebox.received']), 4294967295) * 1000000)),
       fromUnixTimestamp64Micro(toInt64(intDiv(least(formed_unix_nano, 4294967295999999999), 1000)))) AS _received
FROM
(
    SELECT rs, scope, span, batch, formed_unix_nano
    FROM
    (
        SELECT rs, scope, batch, formed_unix_nano
        FROM (SELECT arrayJoin(resource_spans) AS rs, batch, formed_unix_nano FROM otlp_ingest)
        ARRAY JOIN rs.scope_spans AS scope
    )
    ARRAY JOIN scope.spans AS span
);
