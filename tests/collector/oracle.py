"""Sends spans to *receive* until it is told to stop, and prints the id of each span that was acknowledged.

Like a stock exporter it sends the same bytes again when an answer is lost. ``python -m tests.collector.oracle DIR``
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from fusebox.rundir import lookup
from tests.collector.otlp_samples import request, span

SENDERS = 4
PRINTING = threading.Lock()


def main(data_dir: Path) -> None:
    token = (data_dir / "agent.token").read_text().strip()
    threads = [threading.Thread(target=_send_forever, args=(data_dir, token), daemon=True) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    threads[0].join()


def _send_forever(data_dir: Path, token: str) -> None:
    while True:
        item = span()
        body = request(item).SerializeToString()
        while not _accepted(data_dir, token, body):
            time.sleep(0.02)
        with PRINTING:
            print(item.span_id.hex(), flush=True)


def _accepted(data_dir: Path, token: str, body: bytes) -> bool:
    info = lookup(data_dir, "receive")
    if info is None:
        return False
    headers = {"content-type": "application/x-protobuf", "authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(info["url"] + "/v1/traces", body, headers), timeout=10
        ) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, HTTPException, OSError):
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]))
