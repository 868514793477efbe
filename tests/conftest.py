"""Fixtures live in ``tests/fixtures/``, one file per server they bring up."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import tests.real  # noqa: F401  (first: it takes what is not meant for those who are tested)

# A run in the background begins with Ctrl-C ignored, and hands that on to the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow, which is no finding; and a store that lasts as long as the test is emptied by each example.
settings.register_profile(
    "fusebox", settings.default, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
settings.load_profile("fusebox")

pytest_plugins = [
    "tests.fixtures.clock",
    "tests.fixtures.store",
    "tests.fixtures.broker",
    "tests.fixtures.managed",
    "tests.fixtures.agents",
    "tests.fixtures.collector",
    "tests.fixtures.browser",
    "tests.fixtures.watch",
    "tests.fixtures.faults",
    "tests.fixtures.gateway",
    "tests.fixtures.postgres",
]

_FAULTS = Path(__file__).parent / "faults"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no worker is left with one of them when the others have no more to do."""
    items.sort(key=lambda item: not item.path.is_relative_to(_FAULTS))
