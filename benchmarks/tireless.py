"""An agent that never stops trying: it calls a tool over and over and notes when it was let through.

``python -m benchmarks.tireless AGENT NOTES [OFFSET]``. A line of NOTES is ``A <monotonic>`` for each call that was made
and ``R <monotonic> <guard's error>`` for the first that was refused after one, and then for one in some twenty. OFFSET
(seconds) is how wrong the process's wall clock is; a line ``clock <seconds>`` on its standard input changes that.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from fusebox.config import load_config
from fusebox.errors import Refused
from rabbitmq import Agent, Runtime

_PAUSE_S: Final = 0.001
_NOTED: Final = 20
_right = time.time


def set_clock(offset: float) -> None:
    """Let this process's wall clock be wrong by so many seconds."""
    time.time = lambda: _right() + offset


def listen() -> None:
    """Orders from standard input; its end is ours."""
    for line in sys.stdin:
        set_clock(float(line.split()[1]))
    os._exit(0)


def work(agent: Agent, notes: int) -> None:
    """Try for ever."""
    refused = 0
    for number in itertools.count():
        try:
            agent.context().tool("bench.work", lambda n: os.write(notes, b"A %.6f\n" % time.monotonic()) and n, number)
            refused = 0
        except Refused as error:
            if refused % _NOTED == 0:
                os.write(notes, b"R %.6f %s\n" % (time.monotonic(), type(error).__name__.encode()))
            refused += 1
        time.sleep(_PAUSE_S)


def run(name: str, notes: Path, offset: float = 0.0) -> None:
    set_clock(offset)
    threading.Thread(target=listen, daemon=True).start()
    runtime = Runtime.from_config(load_config(), name=name)
    agent = Agent(name, runtime)
    agent.start()
    work(agent, os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:]))
