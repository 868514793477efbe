"""Starting from the far end, stopping from the near end; stop is legal at any time."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fusebox import happenings
from fusebox.lifecycle import Stack


class Part:
    def __init__(self, name: str, diary: list[str], *, fails: str = "") -> None:
        self.name, self.diary, self.fails = name, diary, fails
        self.given = -1.0

    def start(self) -> None:
        if self.fails == "start":
            raise RuntimeError(self.name)
        self.diary.append(f"+{self.name}")

    def stop(self, timeout: float = 10.0) -> None:
        self.given = timeout
        self.diary.append(f"-{self.name}")
        if self.fails == "stop":
            raise RuntimeError(self.name)


def test_starts_in_order_and_stops_in_reverse() -> None:
    diary: list[str] = []
    stack = Stack([Part("sink", diary), Part("source", diary)])
    stack.stop()
    stack.start()
    stack.stop()
    stack.stop()
    assert diary == ["+sink", "+source", "-source", "-sink"]


def test_a_failed_start_leaves_nothing_running() -> None:
    diary: list[str] = []
    stack = Stack([Part("a", diary), Part("b", diary, fails="start"), Part("c", diary)])
    with pytest.raises(RuntimeError, match="b"):
        stack.start()
    assert diary == ["+a", "-a"]


def test_one_that_fails_to_stop_is_counted_and_does_not_keep_the_others_alive() -> None:
    diary: list[str] = []
    before = happenings.counts()["stop_failed"]
    stack = Stack([Part("a", diary), Part("b", diary, fails="stop")])
    stack.start()
    stack.stop()
    assert diary[2:] == ["-b", "-a"]
    assert happenings.counts()["stop_failed"] == before + 1


def test_all_parts_share_one_deadline() -> None:
    parts = [Part("a", []), Part("b", [])]
    stack = Stack(parts)
    stack.start()
    stack.stop(2.0)
    assert 0 <= parts[0].given <= parts[1].given <= 2.0


SERVICE = textwrap.dedent("""
    import sys
    from fusebox.lifecycle import serve

    class Loud:
        def start(self): print("ready", flush=True)
        def stop(self, timeout=10.0): print("stopped", flush=True)

    serve(Loud())
""")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_served_service_stops_on_a_signal(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "stopped\n"
    assert process.returncode == 0


def test_a_served_service_stops_when_its_parent_dies(tmp_path: Path) -> None:
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SERVICE!r}]).wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        os.kill(parent.pid, signal.SIGKILL)
        assert parent.stdout.read() == "stopped\n"


ALONE = textwrap.dedent("""
    import os, select, threading, time
    from fusebox import lifecycle

    rounds, wait = [], select.select

    def counted(*arguments):
        rounds.append(None)
        return wait(*arguments)

    def until(condition):
        while not condition():
            time.sleep(0.01)

    class Quiet:
        def start(self):
            threading.Thread(target=tell, args=(os.getppid(),), daemon=True).start()
            print("ready", flush=True)
        def stop(self, timeout=10.0): print("stopped", flush=True)

    def tell(parent):
        until(lambda: os.getppid() != parent)
        alone = len(rounds)
        until(lambda: len(rounds) > alone + 20)
        print(os.getpid(), flush=True)

    select.select, lifecycle._PARENT_CHECK_S = counted, 0.01
    lifecycle.serve(Quiet(), supervised=False)
""")


def test_a_program_outlives_the_shell_it_was_started_from() -> None:
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {ALONE!r}]).wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout
        assert shell.stdout.readline() == "ready\n"
        os.kill(shell.pid, signal.SIGKILL)
        os.kill(int(shell.stdout.readline()), signal.SIGTERM)
        assert shell.stdout.read() == "stopped\n"
