"""Failing disks and a failing database under traffic: nothing answered 200 is lost, invented or counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.collector import disk_faults as disk
from tests.faults.collector.database_faults import Server, all_faults
from tests.faults.collector.lab import Lab
from tests.fixtures.collector import until
from tests.need import need

_STRACE = "apt-get install strace"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), request.config.getoption("--fault-seed"), embedded=False) as lab:
        yield lab


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return 10 if request.config.getoption("--fault-cycles") else 1


def _settled(lab: Lab) -> None:
    lab.drain()
    assert lab.sender.refused == []
    assert lab.oracle.verdict(lab.rows) == []


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("call", "error", "event"),
    [
        ("fdatasync", "EIO", "spool_sync_failed"),
        ("pwrite64", "EIO", "spool_sync_failed"),
        ("writev", "ENOSPC", "spool_full"),
    ],
)
def test_a_disk_that_reports_errors_costs_nothing_that_was_answered(
    lab: Lab, tmp_path: Path, rounds: int, call: str, error: str, event: str
) -> None:
    need("strace", _STRACE)
    receive = lab.roles["receive"]
    for number in range(rounds):
        before, throttled = receive.counted(event), lab.sender.throttled
        with lab.sender.traffic(), disk.injected(receive, call, error, tmp_path / f"{number}.strace"):
            until(lambda before=before: receive.counted(event) > before, f"{event} is counted")  # type: ignore[misc]
        _settled(lab)
        assert lab.sender.throttled > throttled, "senders were told to come again"


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_disk_that_takes_half_a_record_costs_nothing_that_was_answered(lab: Lab, rounds: int) -> None:
    receive = lab.roles["receive"]
    for _ in range(rounds):
        before = receive.counted("spool_full")
        with lab.sender.traffic(), disk.filling_up(receive, lab.data_dir / "spool"):
            until(lambda before=before: receive.counted("spool_full") > before, "spool_full is counted")  # type: ignore[misc]
        _settled(lab)
        assert receive.counted("spool_damaged") == 0


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", all_faults(), ids=lambda fault: fault.name)
def test_a_server_in_trouble_costs_nothing_that_was_answered(lab: Lab, rounds: int, fault: Server) -> None:
    assert lab.server
    keep = lab.roles["keep"]
    for _ in range(rounds):
        delayed = keep.counted("keep_delayed")
        with lab.sender.traffic():
            fault.strike(lab.server)
            try:
                until(lambda: fault.is_felt(keep.counted("keep_delayed") - delayed), f"{fault.name} is felt")  # noqa: B023
            finally:
                fault.heal(lab.server)
        _settled(lab)
        assert lab.rows("SELECT count() FROM dead_letters") == [(0,)]
