"""*keep*: spool → ClickHouse, the read-only SQL port, and the audit copy."""
