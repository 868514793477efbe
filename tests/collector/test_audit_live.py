"""``fusebox audit`` on a running installation: keep and watch are processes, ClickHouse is real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collector.audit.erasure import find
from collector.keep.engine import Engine
from fusebox.cli import main
from fusebox.control import ControlClient
from tests.fixtures.collector import Roles, StartRoles, until


class Site:
    """The installation and the operator at its machine."""

    def __init__(self, roles: StartRoles, capsys: pytest.CaptureFixture[str]) -> None:
        self._roles, self._capsys = roles, capsys
        self.running: Roles = roles("keep", "watch")
        self.data_dir = self.running.config.data_dir
        self.complained = ""
        """What the last verification said beside its result."""

    def again(self) -> None:
        self.running = self._roles("keep", "watch")

    def stop(self) -> None:
        self.running.supervisor.stop()

    def control(self) -> ControlClient:
        return ControlClient.local(self.running.config)

    def verify(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        self._capsys.readouterr()
        status = main(["audit", "verify", "--json", *arguments])
        said = self._capsys.readouterr()
        self.complained = said.err
        return status, json.loads(said.out)

    def written(self, kind: str) -> int:
        """How many entries of this kind watch has written."""
        files = (self.data_dir / "journal" / "watch").glob("0*.jsonl")
        return sum(json.loads(line)["kind"] == kind for file in files for line in file.read_text().splitlines())

    def payload(self, writer: str, seq: int) -> bytes:
        found = find(self.data_dir / "journal" / writer, seq)
        assert found
        return found[2].payload


@pytest.fixture
def site(
    roles: StartRoles, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Site:
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path / "data"))
    return Site(roles, capsys)


def test_the_whole_of_a_running_installation_is_verified(site: Site, tmp_path: Path) -> None:
    kill = site.control().kill("agent:a", "b")["kill"]
    site.control().trip("c", "loops")
    site.control().mode("d", "observe_only", "a trial")
    witness = tmp_path / "witness.jsonl"
    status, found = site.verify("--witness", str(witness))
    assert (status, found["verdict"], found["incomplete"]) == (0, "verified", [])
    assert set(found["writers"]) == {"keep", "watch"}
    watch = found["writers"]["watch"]
    assert watch["size"] == watch["copied"] > 3
    assert site.written("verification") == 1
    assert site.verify("--witness", str(witness))[0] == 0
    assert site.written("verification") == 2, "the verification is on record"
    assert len(witness.read_text().splitlines()) >= 2

    assert main(["audit", "erase", "0", "--writer", "keep", "--reason", "asked for"]) == 0
    until(lambda: site.payload("keep", 0) == b"", "the payload of a statement is gone")
    assert main(["audit", "erase", "1", "--reason", "hide the kill"]) == 2, "what is in force is rebuilt from it"
    status, found = site.verify("--witness", str(witness))
    assert (status, found["incomplete"]) == (0, [])

    site.stop()
    latch = site.data_dir / "latch" / "watch.jsonl"
    backup = latch.read_bytes()
    latch.unlink()
    status, found = site.verify()
    assert status == 1
    assert (found["first_bad"]["kind"], kill in found["first_bad"]["detail"]) == ("live state", True)
    latch.write_bytes(backup)
    status, found = site.verify()
    assert status == 2, "nobody can say how the circuits stand"
    assert any("live circuits were not compared" in gap for gap in found["incomplete"])

    engine = Engine(site.data_dir / "clickhouse")
    engine.writer().command(
        "ALTER TABLE audit_log DELETE WHERE writer = 'watch' AND seq = 2 SETTINGS mutations_sync = 1"
    )
    engine.close()
    status, found = site.verify()
    assert status == 1
    assert found["first_bad"] == {"writer": "watch", "seq": 2, "kind": "deleted", "where": "copy", "detail": ""}


def test_a_damage_that_watch_was_not_told_of_is_said_to_be_untold(site: Site) -> None:
    site.control().kill("agent:a", "b")
    site.stop()
    (path,) = sorted((site.data_dir / "journal" / "watch").glob("0*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"reason":"b"', b'"reason":"c"', 1))
    # in a process of its own: it opens the database, which keep needs next
    verify = [sys.executable, "-m", "fusebox", "audit", "verify", "--json"]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "watch was not told of this" in done.stderr
    where = f"watch {json.loads(done.stdout)['first_bad']['seq']}"

    site.again()
    assert site.verify()[0] == 1
    assert "not told" not in site.complained
    told = [alert["data"]["where"] for alert in site.control().alerts()["alerts"] if alert["type"] == "audit.failed"]
    assert where in told


def test_watch_starts_on_a_damaged_journal_people_can_kill_and_nobody_can_resume(site: Site) -> None:
    site.control().kill("agent:a", "b")
    site.stop()
    (path,) = sorted((site.data_dir / "journal" / "watch").glob("0*.jsonl"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + b'"writer":"wotch"}\n')
    site.again()
    assert site.control().kill("agent:b", "now")["kill"]
    assert {latch["scope"] for latch in site.control().board()["latches"]} == {"agent:a", "agent:b"}
    with pytest.raises(Exception, match="audit verify"):
        site.control().resume("agent:a", "c")
    assert site.verify()[0] == 1
    site.stop()
    path.write_bytes(whole)
    site.again()
    status, found = site.verify()
    assert (status, found["problems"], found["incomplete"]) == (0, [], [])
    site.control().resume("agent:b", "c")
