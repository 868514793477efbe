"""``fusebox demo`` as a newcomer runs it: whole, in a process of its own, from an empty folder."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.rogue_tickets.agents import HELPER, HELPER_KEYS
from examples.rogue_tickets.tickets import LABELLED
from fusebox.config import PREFIX
from fusebox.names import EXCHANGE_EVENTS
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message
from rabbitmq.topology import agent_topology, base_topology
from tests.examples.test_demo_parts import KEYS
from tests.fixtures.agents import eventually
from tests.need import PATIENCE_S

LIMIT_S = 280


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "fusebox", "demo", *arguments]


def environment(temporary: Path) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return bare | {"TMPDIR": str(temporary), "COLUMNS": "200"}


def play(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the demo to its end; its JSON object. Nothing may be on stderr, and no folder may be left behind."""
    temporary = folder / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        command("--exit", "--json", *arguments), cwd=folder, env=environment(temporary), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "Traceback" not in done.stdout
    assert "--unprotected" in arguments or "was asked:" in done.stdout, "why shows the prompt"
    assert "operator.token" not in done.stdout, "what has ended is offered to nobody"
    assert "fusebox sql" not in done.stdout
    assert list(temporary.iterdir()) == []
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def check_story(result: dict[str, Any]) -> None:
    assert list(result) == KEYS
    assert 2 <= result["comments"] <= 6
    assert result["unprotected_comments"] > 100
    assert result["trip"]["agent"] == "ticket-helper"
    assert 0 < result["trip"]["seconds_from_onset"] < 60
    assert 2 <= result["trip"]["actions_from_onset"] <= 30
    assert result["alerts_delivered"] == 1
    assert result["held"] == result["resumed_delivered"] > 0
    assert result["kill_seconds"] < 5
    assert result["messages"] > result["unprotected_comments"]
    assert result["spans_stored"] > result["messages"]
    assert result["tokens"] > 1000
    assert result["cost_usd"] > 0


def test_the_story_holds_with_a_process_for_each_agent_where_an_earlier_demo_was_cut_short(
    rabbitmq_url: str, tmp_path: Path
) -> None:
    broker = AmqpBroker(rabbitmq_url)
    broker.start()
    broker.declare(base_topology())
    broker.declare(agent_topology(HELPER, tuple(HELPER_KEYS.values())))
    for _ in range(3):
        broker.publish(EXCHANGE_EVENTS, HELPER_KEYS[LABELLED], Message(b'{"ticket": "TCK-1", "label": "new"}'))
    broker.stop()
    check_story(play(tmp_path, "--amqp-url", rabbitmq_url, "--no-dashboard"))


def test_the_unprotected_twin_alone(tmp_path: Path) -> None:
    result = play(tmp_path, "--unprotected", "--broker", "in-process", "--no-dashboard")
    assert list(result) == KEYS
    assert result["unprotected_comments"] > 100
    assert (result["trip"], result["comments"], result["alerts_delivered"]) == (None, None, 0)


def test_who_edits_the_record_is_found_out(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--tamper", "--json"), cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["held"]
    assert told["named"] == told["forged"]
    assert f"TAMPERED watch {told['forged'][0]}: edited (copy)" in done.stdout
    assert f"TAMPERED watch {told['forged'][1]}: edited (journal)" in done.stdout


def test_the_story_holds_in_one_process_which_stays_until_ctrl_c_and_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary, out = tmp_path / "tmp", tmp_path / "out"
    temporary.mkdir()
    with out.open("w") as file:
        running = subprocess.Popen(
            command("--broker", "in-process", "--json", "--seed", "42"), cwd=tmp_path, env=environment(temporary),
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        eventually(lambda: "Ctrl-C ends it" in out.read_text() or running.poll() is not None, LIMIT_S, "summary")
        assert running.poll() is None, out.read_text()
        assert [_run_printed(line) for line in out.read_text().splitlines() if "fusebox sql" in line] == [0, 0]
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE_S) == 0
    finally:
        running.kill()
        running.wait()
    text = out.read_text()
    assert "http://127.0.0.1:" in text
    assert "operator.token" in text
    assert "was asked:" in text, "why shows the prompt"
    assert "Traceback" not in text
    check_story(json.loads(text.splitlines()[-1]))
    assert list(temporary.iterdir()) == []


def test_a_folder_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    done = subprocess.run(
        command("--exit", "--data-dir", "mine"), cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"fusebox: --data-dir {tmp_path / 'mine'} is not empty; name an empty or a new folder"
    ]


def _run_printed(line: str) -> int:
    """Run a command as the demo prints it: variables first, then fusebox and its arguments."""
    variable, _, *arguments = shlex.split(line)
    name, _, value = variable.partition("=")
    asked = [sys.executable, "-P", "-m", "fusebox", *arguments]
    return subprocess.run(asked, env={**os.environ, name: value}, capture_output=True, check=False).returncode
