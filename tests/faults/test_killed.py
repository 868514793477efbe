"""A killed agent makes no call, whatever is done to it: real watch, Redis and processes (benchmarks.afterlife)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.afterlife import BACKUP, FAST, FLUSH, HOST, NETWORK, PROCESS, RESTART, SLOW, Stage, Story, every_story
from benchmarks.killing import Site
from tests.need import need

SOME = (
    Story((NETWORK, FLUSH, RESTART), "after"), Story((FAST, BACKUP, PROCESS), "before"),
    Story((SLOW, FLUSH, HOST), "during"), Story((NETWORK, SLOW, BACKUP, RESTART, PROCESS, HOST), "after"),
    Story((NETWORK, FAST, RESTART), "before"), Story((NETWORK, FLUSH), "before"),
    Story((NETWORK, BACKUP, PROCESS), "during"),
)  # fmt: skip


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    need("redis-server", "apt-get install redis-server")
    with Site(tmp_path) as site:
        yield Stage(site)


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_a_killed_agent_makes_no_call(stage: Stage, request: pytest.FixtureRequest) -> None:
    """Every combination of faults by ``make faults``, some of them in CI."""
    stories = list(every_story()) if request.config.getoption("--fault-cycles") else SOME
    assert {str(story): calls for story in stories if (calls := stage.play(story))} == {}
