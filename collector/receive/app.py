"""The role *receive*: wiring, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from collector.configured import declare
from collector.receive.grpc import GrpcDoor
from collector.receive.http import Door
from collector.receive.intake import ACCEPTED, Answer, Intake
from collector.receive.met import Met
from collector.receive.repeats import Repeats, key_in
from collector.receive.signals import LOGS_STORED, SPANS_STORED
from collector.receive.stamp import MISSHAPEN
from collector.residence import share_arenas
from collector.scheduling import interrupt_nobody
from collector.setup import prepare
from collector.spool import Record, Writer, cursors, quarantined, recent
from collector.tokens import Tokens
from fusebox import happenings
from fusebox.clock import Clock, system_clock
from fusebox.config import Config
from fusebox.http_server import HttpServer
from fusebox.lifecycle import serve
from fusebox.metrics import Gauge, Otel, accepted, accepted_logs, queue, refused, render
from fusebox.ports import address, bind, port_of
from fusebox.prices import PriceBook
from fusebox.rundir import announce, withdraw

_WORKERS: Final = 8
_ARENAS: Final = 2


class Receive:
    """Both doors over one spool.

    Args:
        config: uses data_dir, tenant, host, http_port, grpc_port, spool_max_bytes and spool_max_age_s.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._patience = 5.0
        self._resources = contextlib.ExitStack()

    def start(self) -> None:
        """Open the spool, listen on both ports, announce them.

        Raises:
            PortInUse: a port is taken; the text names its setting.
            DataDirInUse: another receive writes this spool.
        """
        with contextlib.ExitStack() as resources:
            writer = Writer(
                self._config.data_dir / "spool", self._config.spool_max_bytes,
                max_age_s=self._config.spool_max_age_s, clock=self._clock,
            )  # fmt: skip
            resources.callback(writer.close)
            met = Met()
            repeats = Repeats(self._clock, _known(recent(self._config.data_dir / "spool"), met))
            intake = Intake(writer, self._clock, repeats, PriceBook.load(self._config.prices_file), met)
            tokens = Tokens(self._config.data_dir / "principals.json", self._config.tenant)
            grpc_port = self._open_grpc(resources, intake, tokens)
            http_port = self._open_http(resources, intake, tokens, writer)
            self._announce(resources, http_port, grpc_port)
            self._resources = resources.pop_all()

    def stop(self, timeout: float = 10.0) -> None:
        """Take the announcement back, let running requests finish, close the spool."""
        self._patience = timeout / 2
        self._resources.close()

    def _open_grpc(self, resources: contextlib.ExitStack, intake: Intake, tokens: Tokens) -> int:
        door = GrpcDoor(intake, tokens, self._config.host, self._config.grpc_port)
        resources.callback(lambda: door.stop(self._patience))
        door.start()
        return door.port

    def _open_http(self, resources: contextlib.ExitStack, intake: Intake, tokens: Tokens, writer: Writer) -> int:
        sock = bind(self._config.host, self._config.http_port, "http_port")
        workers = resources.enter_context(ThreadPoolExecutor(_WORKERS, "fusebox-http"))
        door = Door(intake, tokens, workers, writer.trouble, lambda: render(self._gauges(writer)))
        server = HttpServer(door)
        resources.callback(lambda: server.stop(self._patience))
        port = port_of(sock)
        server.start(sock)
        return port

    def _announce(self, resources: contextlib.ExitStack, http_port: int, grpc_port: int) -> None:
        host, folder = self._config.host, self._config.data_dir
        declare(self._config, "receive")
        announce(folder, "receive", url=f"http://{address(host, http_port)}", grpc=address(host, grpc_port))
        resources.callback(withdraw, folder, "receive")

    def _gauges(self, writer: Writer) -> Iterator[Gauge | Otel]:
        counts, folder = happenings.counts(), self._config.data_dir / "spool"
        yield accepted(counts[SPANS_STORED.name])
        yield accepted_logs(counts[LOGS_STORED.name])
        yield refused(counts[MISSHAPEN.name])
        yield from queue(writer.size(), self._config.spool_max_bytes)
        yield Gauge("spool_bytes", "bytes in the spool", writer.size())
        yield Gauge("spool_max_bytes", "bytes at which the spool refuses", self._config.spool_max_bytes)
        yield Gauge("spool_oldest_seconds", "seconds for which the oldest record waits to be stored", writer.oldest())
        yield Gauge("spool_quarantined", "damaged segments in quarantine", len(quarantined(folder)))
        yield Gauge("spool_record", "number of the newest durable record", writer.number())
        for name, number in cursors(folder).items():
            yield Gauge("spool_cursor", "number of the record a reader is done with", number, {"reader": name})


def main(config: Config) -> None:
    """Run until SIGTERM."""
    share_arenas(_ARENAS)
    interrupt_nobody()
    prepare(config)
    serve(Receive(config, system_clock()))


def _known(records: Iterable[Record], met: Met) -> Iterator[tuple[bytes, Answer]]:
    """What was received before the restart: asked again, it is answered with success."""
    for record in records:
        met.learn(record.payload)
        key = key_in(record.payload)
        if key:
            yield key, ACCEPTED
