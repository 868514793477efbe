"""The gateway refuses to serve when a guard lets through what it must stop."""

import json
import logging

import pytest

from breakers.circuit import Circuits
from fusebox import happenings
from fusebox.guard import allow
from fusebox.records import Verdict
from gateway.approving import Approving
from gateway.filter import OutputFilter, Ruling
from gateway.hold import Hold
from gateway.keys import Keys
from gateway.limits import NOTHING, Limiter
from gateway.masking.masker import Masked, Session
from gateway.screen import Screen
from gateway.screen_stream import StreamScreen
from gateway.selftest import SelfTestFailed
from tests.fixtures.gateway import StartGateway
from tests.gateway.test_screen import GUARDED


def lets_all_pass(*_: object, **__: object) -> Verdict:
    return allow("broken")


async def always(*_: object) -> bool:
    return True


async def agreed(*_: object) -> str:
    return "apr_nobody"


def broken(patch: pytest.MonkeyPatch, guard: str) -> None:
    """Make one guard useless, as a mistake in the wiring would."""
    if guard == "latch":
        patch.setattr("breakers.guards.LatchGuard.check", lets_all_pass)
    elif guard == "snapshot":
        patch.setattr("rabbitmq.link.SnapshotGuard.check", lets_all_pass)
    elif guard == "circuit":
        patch.setattr(Circuits, "verdict", lets_all_pass)
    elif guard == "quota":
        reserve = Limiter.reserve_soon
        patch.setattr(Limiter, "reserve_soon", lambda self, call, _: reserve(self, call, NOTHING))
    elif guard == "masking":
        patch.setattr(Session, "mask", lambda _, value, **how: Masked(value, allow("masking")))
    elif guard == "filter":
        patch.setattr(OutputFilter, "arguments", lambda *_: Ruling())
    elif guard in ("masking of answers", "filter of answers"):
        patch.setattr(Screen, "answer", lambda *_: None)
    elif guard in ("masking of streams", "filter of streams"):
        patch.setattr(StreamScreen, "event", lambda _, told: [told])
        patch.setattr(StreamScreen, "end", lambda *_: [])
    elif guard == "masking of results":
        patch.setattr(Screen, "result", lambda _, value: value)
    elif guard == "approval":
        patch.setattr(Approving, "require", agreed)
    elif guard == "quota of streams":
        patch.setattr(Hold, "reach", always)
    elif guard == "model":
        patch.setattr("gateway.keys.Identity.may_use_model", lambda *_: True)
    elif guard == "tool":
        patch.setattr("gateway.keys.Identity.may_use_tool", lambda *_: True)
    else:
        authenticate = Keys.authenticate
        patch.setattr(Keys, "authenticate", lambda self, key: authenticate(self, key) or _anybody(self))
        patch.setattr("gateway.door.credential", lambda _: "none")


def settings_for(guard: str) -> str:
    """Both stand before an answer, the masking in front."""
    if guard.startswith("filter of"):
        return "[filter]\n"
    return GUARDED if guard.startswith(("masking", "filter")) else ""


def _anybody(keys: Keys) -> object:
    return next(iter(keys._by_hash.values()))


@pytest.mark.parametrize(
    "guard",
    ["key", "model", "tool", "latch", "snapshot", "circuit", "approval", "quota", "quota of streams", "masking",
     "masking of answers", "masking of streams", "masking of results", "filter", "filter of answers",
     "filter of streams"],
)  # fmt: skip
def test_a_guard_that_lets_all_pass_keeps_the_gateway_from_serving(
    gateways: StartGateway, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, guard)
    with pytest.raises(SelfTestFailed, match=f"the guard '{guard}' answered"):
        gateways(settings_for(guard))


def test_nothing_of_the_self_test_stays(gateways: StartGateway) -> None:
    running = gateways()
    assert running.runtime.latch.kills() == {}
    assert running.runtime.circuits.all() == []
    assert running.keys.agents() == ("ticket-helper",)


def test_what_the_self_test_brings_about_alarms_nobody_and_is_there_to_debug(
    gateways: StartGateway, caplog: pytest.LogCaptureFixture
) -> None:
    before = happenings.counts()
    with caplog.at_level(logging.DEBUG, "fusebox"):
        gateways()
    for name in ("policy_unavailable", "spans_dropped", "uplink_dropped", "gateway_refused", "action_denied"):
        said = [record for record in caplog.records if f'"event": "{name}"' in record.message]
        assert {record.levelno for record in said} <= {logging.DEBUG}, name
        assert happenings.counts()[name] == before[name]
    (line,) = [record.message for record in caplog.records if "policy_unavailable" in record.message]
    assert "/self-test does not answer" in line
    assert json.loads(line)["rehearsal"]
