"""What watch hears about denials."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.errors import ControlUnavailable, Permanent
from fusebox.records import Action, ActionKind, Decision, Verdict
from governance.audit import MAX_REASONS, MAX_ROWS, OTHERS, AuditClient
from tests.fixtures.agents import eventually


class Watch:
    """Stands in for the control API: keeps rows, or fails as told."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.asked = threading.Event()

    def __call__(self, kind: str, body: Mapping[str, Any]) -> None:
        self.asked.set()
        if self.failure:
            raise self.failure
        assert kind == "denials"
        assert body["process"] == "p1"
        self.rows += body["rows"]


@contextmanager
def running(watch: Watch, clock: ManualClock) -> Iterator[AuditClient]:
    client = AuditClient(watch, clock, process="p1")
    client.start()
    try:
        yield client
    finally:
        client.stop(5)


def deny(client: AuditClient, agent: str = "bot", reason: str = "circuit is open", times: int = 1) -> None:
    for _ in range(times):
        action = Action(ActionKind.TOOL_CALL, agent, "tickets.comment", trace_id="ab" * 16)
        client.ruled(action, Verdict(Decision.DENY, "circuit", reason))


def allow(client: AuditClient, target: str) -> None:
    action = Action(ActionKind.TOOL_CALL, "bot", "warehouse", target)
    client.ruled(action, Verdict(Decision.ALLOW, "policy", "granted by bot: tool_call warehouse", revision="r1"))


def test_what_policy_allowed_is_told_of_each_target_that_another_policy_might_forbid(clock: ManualClock) -> None:
    watch = Watch()
    with running(watch, clock) as client:
        for target in ("GET /stock", "POST /stock", "GET /stock", *(f"GET /orders/{number}" for number in (7, 8, 9))):
            allow(client, target)
        clock.advance(60)
    told: dict[str, int] = {}
    for row in watch.rows:
        told[row["target"]] = told.get(row["target"], 0) + row["count"]
    assert told == {"GET /stock": 2, "POST /stock": 1, "GET /orders/7": 1, "GET /orders/8": 2}, "a number is no target"


def test_the_first_denial_leaves_at_once_and_the_rest_as_one_count_a_minute(clock: ManualClock) -> None:
    watch = Watch()
    with running(watch, clock) as client:
        deny(client)
        eventually(lambda: len(watch.rows) == 1)
        deny(client, times=40)
        clock.advance(60)
        deny(client, times=2)
        eventually(lambda: len(watch.rows) == 2)
        assert watch.rows[1]["count"] == 40
        assert watch.rows[1]["minute"] == watch.rows[0]["minute"]
        assert client.pending == 2
    assert [row["count"] for row in watch.rows] == [1, 40, 2]
    assert watch.rows[2]["minute"] == watch.rows[0]["minute"] + 60
    assert watch.rows[0]["trace_id"] == "ab" * 16


def test_reasons_that_differ_only_in_numbers_are_one_reason(clock: ManualClock) -> None:
    watch = Watch()
    with running(watch, clock) as client:
        for seconds in range(30):
            deny(client, reason=f"open for {seconds}.5 s more")
    assert [row["count"] for row in watch.rows] == [1, 29]


def test_what_was_held_or_let_through_is_counted_apart_from_denials(clock: ManualClock) -> None:
    watch = Watch()
    action = Action(ActionKind.PUBLISH, "bot", "ticket.suggested")
    with running(watch, clock) as client:
        for decision in (*Decision, *Decision):
            client.ruled(action, Verdict(decision, "masking", "EMAIL"), 3)
    counts = {(row["decision"], row["guard"], row["reason"]): 0 for row in watch.rows}
    for row in watch.rows:
        counts[row["decision"], row["guard"], row["reason"]] += row["count"]
    assert counts == {(decision.value, "masking", "EMAIL"): 6 for decision in Decision}


def test_reasons_without_end_share_a_row(clock: ManualClock) -> None:
    watch = Watch()
    with running(watch, clock) as client:
        for first in range(26):
            for second in range(26):
                deny(client, reason=f"reason {chr(97 + first)}{chr(97 + second)}")
    assert sum(row["count"] for row in watch.rows) == 26 * 26
    assert len({row["reason"] for row in watch.rows}) == MAX_REASONS + 1
    assert sum(row["count"] for row in watch.rows if row["reason"] == OTHERS) == 26 * 26 - MAX_REASONS


def test_each_agent_and_reason_has_its_own_first_denial(clock: ManualClock) -> None:
    watch = Watch()
    with running(watch, clock) as client:
        deny(client, "a")
        deny(client, "b")
        deny(client, "a", "killed")
        eventually(lambda: len(watch.rows) == 3)
    assert {(row["agent"], row["reason"]) for row in watch.rows} == {
        ("a", "circuit is open"), ("b", "circuit is open"), ("a", "killed")
    }  # fmt: skip


def test_nothing_is_lost_while_watch_is_away(clock: ManualClock) -> None:
    watch = Watch()
    watch.failure = ControlUnavailable("down")
    with running(watch, clock) as client:
        deny(client, times=5)
        eventually(watch.asked.is_set)
        assert client.pending == 5
        watch.failure = None
    assert sum(row["count"] for row in watch.rows) == 5


def test_what_cannot_be_delivered_is_counted(clock: ManualClock) -> None:
    watch, before = Watch(), happenings.counts()["denials_dropped"]
    watch.failure = Permanent("this token may not speak for bot")
    with running(watch, clock) as client:
        deny(client, times=7)
    assert happenings.counts()["denials_dropped"] == before + 7


def test_a_flood_of_reasons_is_bounded_and_counted(clock: ManualClock) -> None:
    client, before = AuditClient(Watch(), clock, process="p1"), happenings.counts()["denials_dropped"]
    for number in range(MAX_ROWS + 25):
        deny(client, agent=f"agent{number}")
    assert client.pending == MAX_ROWS
    assert happenings.counts()["denials_dropped"] == before + 25


def test_stop_is_legal_before_start_and_twice(clock: ManualClock) -> None:
    client = AuditClient(Watch(), clock, process="p1")
    client.stop()
    client.stop()
