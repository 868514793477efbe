"""The SQL port: ClickHouse's HTTP interface, read-only, run in a process that may be killed."""
