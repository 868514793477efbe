-- Parts stay in one file each until they are large: an insert then writes, and fsyncs, a tenth of the files, holds a tenth
-- of the buffers, and takes two thirds of the time. Larger parts have a file for each column, as queries like it.
ALTER TABLE otel_traces MODIFY SETTING min_bytes_for_wide_part = 67108864;
ALTER TABLE agent_events MODIFY SETTING min_bytes_for_wide_part = 67108864;
ALTER TABLE otel_traces_trace_id_ts MODIFY SETTING min_bytes_for_wide_part = 67108864;
