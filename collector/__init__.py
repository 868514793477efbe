"""Keeping: receive, spool, keep, watch, alerts and the SQL port."""
