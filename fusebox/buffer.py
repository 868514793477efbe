"""The buffer between an agent and the collector: it never blocks the agent, nor its exit.

Invariants: spans leave in the order in which they ended; a span leaves the buffer only when it was delivered, or was
given up and counted (``spans_dropped``). While the collector is away the head of the buffer stays where it is, so that
what is buffered is sent when it is back, cut into the very same batches: the collector recognises a request that it has
stored although its answer was lost. A batch that the collector *refuses* is cut in halves until the one span that
it will never take is found and dropped, so that one span cannot hold up all others.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from fusebox import happenings
from fusebox.span import Span

INTERVAL_S: Final = 0.1
_BATCH: Final = 512
_MAX_BACKOFF_S: Final = 5.0


class BatchRefused(Exception):
    """An exporter's word that this batch will never be taken, however often it is tried."""


class SpanBuffer:
    """A bounded buffer in front of an exporter.

    Args:
        exporter: the stock OTLP exporter (or any other), called from one thread of ours only.
        capacity: spans kept while the collector does not answer; a further one is dropped and counted.
        interval: seconds between two exports when spans trickle in.
    """

    def __init__(self, exporter: SpanExporter, capacity: int = 50_000, interval: float = INTERVAL_S) -> None:
        self._exporter = exporter
        self._capacity = capacity
        self._interval = interval
        self._batch = _BATCH
        self.dropped = 0
        """Spans given up so far."""
        self._spans: deque[Span] = deque()
        self._current: list[ReadableSpan] = []
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._gone = 0
        self._progress = threading.Condition()
        """Held to change how many have gone, and which are left."""
        self._thread = threading.Thread(target=self._run, name="fusebox-telemetry", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Spans not delivered yet."""
        return len(self._spans)

    def put(self, span: Span) -> None:
        """Take a span that has ended."""
        if len(self._spans) >= self._capacity or self._stopping.is_set():
            self._drop(1, "buffer full or stopped")
            return
        self._spans.append(span)
        if len(self._spans) == _BATCH:  # once per filling: a longer buffer means that the collector is away
            self._wake.set()

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all that has ended so far is delivered; False when ``timeout`` seconds were not enough."""
        with self._progress:
            wanted = self._gone + len(self._spans)
            self._wake.set()
            return self._progress.wait_for(lambda: self._gone >= wanted, timeout)

    def shutdown(self, timeout: float = 2.0) -> None:
        """Deliver what can be delivered within ``timeout`` seconds, count the rest, end the thread."""
        if self._stopping.is_set():
            return
        self.flush(timeout)
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout)
        if self._spans:
            self._drop(len(self._spans), "not delivered at exit")

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            pause = self._interval if self._drain() else min(_MAX_BACKOFF_S, max(pause, self._interval) * 2)
        self._exporter.shutdown()

    def _drain(self) -> bool:
        """Send what is there, batch after batch; False when the collector does not take one now.

        What ends meanwhile is the next round's: a busy agent's spans would otherwise travel a few at a time.
        """
        due = len(self._spans)
        while due > 0 and not self._stopping.is_set():
            self._current = self._current or self._next()
            try:
                if not self._export(self._current):
                    return False
            except BatchRefused as refusal:
                if len(self._current) > 1:
                    self._batch = len(self._current) // 2
                    self._current = self._current[: self._batch]
                    continue
                self._drop(1, str(refusal))
            due -= len(self._current)
            self._forget()
        return True

    def _next(self) -> list[ReadableSpan]:
        """The oldest spans, by place: others are put behind them meanwhile, on which an iterator would end."""
        return [self._spans[place].readable() for place in range(min(self._batch, len(self._spans)))]

    def _drop(self, count: int, reason: str) -> None:
        self.dropped += count
        happenings.emit(happenings.SPANS_DROPPED, count=count, reason=reason)

    def _forget(self) -> None:
        """What was sent, or given up, is no longer kept."""
        self._batch = min(_BATCH, self._batch * 2)
        with self._progress:
            for _ in self._current:
                self._spans.popleft()
            self._gone += len(self._current)
            self._progress.notify_all()
        self._current = []

    def _export(self, batch: Sequence[ReadableSpan]) -> bool:
        try:
            result = self._exporter.export(batch)
        except BatchRefused:
            raise
        except Exception as error:  # an exporter must not end the thread that drives it
            happenings.emit(happenings.EXPORT_FAILED, spans=len(batch), error=repr(error))
            return False
        if result is not SpanExportResult.SUCCESS:
            happenings.emit(happenings.EXPORT_FAILED, spans=len(batch))
            return False
        happenings.emit(happenings.SPANS_EXPORTED, count=len(batch))
        return True
