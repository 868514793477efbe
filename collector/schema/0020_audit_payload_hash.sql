-- The hash of each entry's payload, which stays when the payload is erased. Rows of a Fusebox before the audit chain have
-- none: they are kept, and no verification speaks for them.
ALTER TABLE audit_log ADD COLUMN IF NOT EXISTS `payload_hash` String AFTER `payload`;
