"""Masking's part of the gateway's self-test: a text that a blocking route must refuse."""

from __future__ import annotations

from fusebox.records import Verdict
from gateway.masking.masker import Masker
from gateway.masking.settings import KEY_BYTES, MaskingSettings, RoutePolicy, Treatment


def self_test(settings: MaskingSettings) -> Verdict:
    """Send one address through the configured recognisers on a route that blocks; no deny is a broken guard."""
    blocking = settings.model_copy(update={"routes": {"*": RoutePolicy(default=Treatment.BLOCK)}})
    return Masker(blocking, bytes(KEY_BYTES)).session("self-test").mask("write to self-test@example.com").verdict
