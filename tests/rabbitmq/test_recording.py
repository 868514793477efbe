"""Recordings: what a line must look like, and what is said of one that does not."""

import json
from pathlib import Path

import pytest

from fusebox.cli import main
from fusebox.errors import BadMessage
from rabbitmq.recording import read_recording

EVENT = {"ts": 1.0, "agent": "bot", "operation": "search"}


def test_events_without_a_number_are_told_apart_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in (EVENT, EVENT, {**EVENT, "seq": 77})))
    assert [event.seq for event, _ in read_recording(path)] == [1, 2, 77]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [('{"ts": 1, "agent": "bot"}', "operation: Field required"), ("nonsense", "Expecting value"), ("[]", "mapping")],
)
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str, wrong: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(EVENT) + "\n" + line + "\n")
    with pytest.raises(BadMessage, match=f"^[^\n]*line 2: [^\n]*{wrong}[^\n]*$"):
        list(read_recording(path))


def test_a_speed_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drive", str(tmp_path / "events.jsonl"), "--speed", "0"]) == 2
    assert "above 0" in capsys.readouterr().err
