"""``python -m streamlit``, but bound to the life of the process that started it.

The parent holds the other end of our standard input. When the parent ends, however it ends, the read below returns
and so does this process: a killed dashboard never leaves a server behind that blocks its port.
"""

from __future__ import annotations

import os
import sys
import threading

from streamlit.web.cli import main


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through a buffer: its lock would outlive this daemon thread
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    sys.exit(main(prog_name="streamlit"))
