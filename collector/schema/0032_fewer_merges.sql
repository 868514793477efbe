-- Parts are merged when sixteen times as many rows come together, not five: a row is written again a third as often, for
-- some more parts to read in. Merging was what most of the processor's time went into while much arrives.
ALTER TABLE otel_traces MODIFY SETTING merge_selector_base = 16;
ALTER TABLE agent_events MODIFY SETTING merge_selector_base = 16;
ALTER TABLE token_ledger MODIFY SETTING merge_selector_base = 16;
