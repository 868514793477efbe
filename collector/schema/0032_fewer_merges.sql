-- Parts are merged when together they are some sixteen times the largest of them, not five: a row is written again a third
-- as often, for some more parts to read in. Merging took half of the processor's time while much arrives.
ALTER TABLE otel_traces MODIFY SETTING merge_selector_base = 16;
ALTER TABLE agent_events MODIFY SETTING merge_selector_base = 16;
ALTER TABLE token_ledger MODIFY SETTING merge_selector_base = 16;
