from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboards.standin import Standin, running, tile


@pytest.fixture
def standin() -> Iterator[Standin]:
    """A control API that shows one agent."""
    with running(Standin(tile("ticket-helper"))) as server:
        yield server
