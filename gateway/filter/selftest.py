"""The filter's part of the gateway's self-test: a call that must be refused."""

from __future__ import annotations

from fusebox.records import Verdict
from gateway.filter.output import OutputFilter


def self_test(filter_: OutputFilter) -> Verdict:
    """Send one statement nobody may send through the configured filter; no deny is a broken guard."""
    return filter_.arguments("self-test", "self-test", {"sql": "DROP TABLE users; SELECT 1"}).verdict
