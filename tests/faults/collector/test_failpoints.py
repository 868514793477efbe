"""Each failpoint is a place in the code as it is: a renamed function is found here, not in the middle of a long run."""

from importlib import import_module

import pytest

from tests.faults.collector.failpoints import FAILPOINTS, Failpoint


@pytest.mark.parametrize("point", FAILPOINTS, ids=lambda point: f"{point.role}: {point.name}")
def test_it_is_there(point: Failpoint) -> None:
    module, _, name = point.owner.partition(":")
    owner = getattr(import_module(module), name) if name else import_module(module)
    assert callable(getattr(owner, point.function))
