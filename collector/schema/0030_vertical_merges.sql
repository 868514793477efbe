-- Spans are merged a column at a time, however few they are. All columns at once took some 200 MB for buffers when parts
-- became large enough for a file each, and a third more of the processor's time.
ALTER TABLE otel_traces MODIFY SETTING vertical_merge_algorithm_min_rows_to_activate = 1;
