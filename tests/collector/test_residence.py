"""The engine's library gives its memory back and works on; nobody loads a library without using it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


_KEEP = """
import sys
from pathlib import Path
from collector.residence import FRAMES, do_without
do_without(*FRAMES)
from collector.keep.engine import Engine
client = Engine(Path(sys.argv[1])).writer()
client.command("CREATE TABLE t (a UInt8, b Map(String, String)) ENGINE = Memory")
client.insert("t", [(1, {"x": "y"})], column_names=["a", "b"])
assert client.query("SELECT * FROM t").result_rows == [(1, {"x": "y"})]
assert not any(sys.modules.get(name) for name in FRAMES)
"""


def test_the_engine_and_its_client_do_without_what_makes_frames(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KEEP, str(tmp_path / "clickhouse")], check=True, timeout=120)


@pytest.mark.parametrize("module", ["collector.verbs.up", "collector.redis_twin"])
def test_who_only_looks_after_redis_loads_no_client_of_it(module: str) -> None:
    program = f"import sys; import {module}; from collector.redis_twin import executable; executable()"
    subprocess.run([sys.executable, "-c", f"{program}; assert 'redis' not in sys.modules"], check=True, timeout=60)
