"""The engine's library gives its memory back once it is loaded, and works on."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import json, chdb
from pathlib import Path
from collector.residence import ENGINE, let_go

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "Rss" in name}

before = resident()
let_go(ENGINE)
after = resident()
let_go("no-such-library.so")
print(json.dumps([before, after, int(str(chdb.query("SELECT sum(number) FROM numbers(1000)")))]))
"""


def test_a_loaded_engine_takes_a_fraction_of_the_memory_and_answers_as_before() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, timeout=120)
    before, after, answer = json.loads(done.stdout)
    assert answer == 499_500
    assert after["RssFile"] < before["RssFile"] / 2, "of the file's pages"
    assert after["RssAnon"] >= before["RssAnon"] * 0.9, "none of the pages that it wrote is gone"
