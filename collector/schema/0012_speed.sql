-- Parts stay in one file each until they are large: an insert then writes, and fsyncs, a tenth of the files, holds a tenth
-- of the buffers, and takes two thirds of the time. Larger parts have a file for each column, as queries like it.
ALTER TABLE otel_traces MODIFY SETTING min_bytes_for_wide_part = 67108864;
ALTER TABLE agent_events MODIFY SETTING min_bytes_for_wide_part = 67108864;
ALTER TABLE otel_traces_trace_id_ts MODIFY SETTING min_bytes_for_wide_part = 67108864;

-- The sums of all time, by agent and action, kept with each part: "how much did who do" then reads thousands of rows.
ALTER TABLE agent_events ADD PROJECTION IF NOT EXISTS `by_agent`
(
    SELECT `tenant`, `agent`, `action`, count(), sum(`input_tokens`), sum(`output_tokens`), sum(`cost_usd`)
    GROUP BY `tenant`, `agent`, `action`
);

-- Where the spans of a message lie: the index over all attribute values finds them as well, but is fifty times its size.
ALTER TABLE otel_traces ADD INDEX IF NOT EXISTS `idx_message_id` `SpanAttributes`['messaging.message.id']
    TYPE bloom_filter(0.001) GRANULARITY 1;
