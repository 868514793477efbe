"""A process of its own: writes and merges while it asks the SQL port how many rows there are; prints the counts."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.collector.spans import Span, request
from tests.collector.sql_bench import serving

_COUNT = "SELECT count() FROM otel_traces"


def main(folder: Path) -> None:
    counts = []
    with serving(folder) as port:
        done = threading.Event()

        def write() -> None:
            for batch in range(40):
                port.bench.store(request(*(Span(10_000 + batch * 10 + n) for n in range(10))))
                if batch % 5 == 4:
                    port.bench.engine.writer().command("OPTIMIZE TABLE otel_traces FINAL")
            done.set()

        port.ask(_COUNT)
        writing = threading.Thread(target=write)
        writing.start()
        deadline = time.monotonic() + 60
        while (not done.is_set() or counts[-1] < 2400) and time.monotonic() < deadline:
            counts.append(int(port.ask(_COUNT).text))
            port.clock.advance(1)
        writing.join()
    print(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
