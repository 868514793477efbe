"""A masker is slow to make and holds no state: one for all tests."""

import pytest

from gateway.masking import MaskingSettings, RoutePolicy, Treatment
from gateway.masking.masker import Masker

KEY = b"k" * 32
ROUTES = {
    "*": RoutePolicy(),
    "restoring": RoutePolicy(restore=True),
    "hashing": RoutePolicy(default=Treatment.HASH),
    "blocking": RoutePolicy(types={"CARD": Treatment.BLOCK, "IP": Treatment.ALLOW}),
}


@pytest.fixture(scope="session")
def masker() -> Masker:
    return Masker(MaskingSettings(names={"PERSON": ("Ada Lovelace", "Jo")}, routes=ROUTES), KEY)
