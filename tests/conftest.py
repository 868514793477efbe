"""Fixtures live in ``tests/fixtures/``, one file per server they bring up."""

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
