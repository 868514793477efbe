"""Fixtures live in ``tests/fixtures/``, one file per server they bring up."""

import signal

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
