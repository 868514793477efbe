"""What the Redis twin shows: the server's own word, under the names of OpenTelemetry's Redis receiver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from collector.redis_line import RedisLine
from fusebox.metrics import Gauge, Otel

_COUNTERS: Final = {
    "uptime_in_seconds": ("redis_uptime_seconds", "seconds since the server started"),
    "total_commands_processed": ("redis_commands_processed", "commands that were processed"),
    "total_connections_received": ("redis_connections_received", "connections that were accepted"),
    "rejected_connections": ("redis_connections_rejected", "connections that were too many"),
    "expired_keys": ("redis_keys_expired", "keys whose time was over"),
    "evicted_keys": ("redis_keys_evicted", "keys that had to go for lack of memory; state is lost with them"),
}
_GAUGES: Final = {
    "connected_clients": ("redis_clients_connected", "connections of clients"),
    "blocked_clients": ("redis_clients_blocked", "clients that wait in a blocking call"),
    "used_memory": ("redis_memory_used_bytes", "bytes that the server's data takes"),
    "used_memory_rss": ("redis_memory_rss_bytes", "bytes that the operating system has given it"),
}


def trouble(line: RedisLine) -> str:
    """Why state cannot be kept just now; empty while it can."""
    try:
        told = line.info()
    except OSError as error:
        return f"the Redis server does not answer: {error}"
    if told["aof_last_write_status"] != "ok":
        return "the Redis server cannot write its file; is the disk full?"
    return ""


def samples(line: RedisLine) -> Iterator[Gauge | Otel]:
    """What ``INFO`` says; nothing but that it does not, when the server does not answer."""
    try:
        told = line.info()
    except OSError:
        told = {}
    yield Gauge("redis_answers", "1 while the Redis server answers", float(bool(told)))
    for kind, known in (("counter", _COUNTERS), ("gauge", _GAUGES)):
        for field, (name, meaning) in known.items():
            if field in told:
                yield Otel(name, meaning, float(told[field]), kind=kind)
