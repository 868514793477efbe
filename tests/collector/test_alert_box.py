"""What one sink has not taken yet: groups, retries, its circuit, 410. On injected time, one step at a time."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.alerts import folder
from collector.alerts.box import Box
from collector.alerts.folder import Folder
from collector.alerts.parcel import DIGEST
from collector.alerts.schedule import MAX_AGE_S, PAUSES_S, next_attempt
from collector.alerts.sinks import Fate, Outcome
from collector.alerts.waiting import MAX_DIGEST, Grouping
from fusebox import happenings
from fusebox.clock import ManualClock
from tests.collector.receiver import ToldSink, alert

AWAY, REFUSED, GONE = Outcome(Fate.RETRY, "away"), Outcome(Fate.REFUSED, "no"), Outcome(Fate.GONE, "410")
ALONE = Grouping()
MakeBox = Callable[..., Box]


@pytest.fixture
def sink() -> ToldSink:
    return ToldSink()


@pytest.fixture
def ends() -> list[tuple[str, Fate]]:
    return []


@pytest.fixture
def make(tmp_path: Path, sink: ToldSink, clock: ManualClock, ends: list[tuple[str, Fate]]) -> MakeBox:
    """A box on one folder; a second one is what a restart finds."""

    def box(grouping: Grouping = ALONE) -> Box:
        return Box(
            Folder(tmp_path / "box"), sink, grouping, clock, lambda id, _sink, outcome: ends.append((id, outcome.fate))
        )

    return box


def run(box: Box, clock: ManualClock, seconds: float = 0.0) -> None:
    """Make every attempt that falls due within that time."""
    until = clock.wall() + seconds
    while True:
        pause = box.step()
        if pause is None or clock.wall() + pause > until:
            break
        clock.advance(pause)
    clock.advance(max(0.0, until - clock.wall()))


class TestGroups:
    def test_the_first_goes_at_once_and_a_storm_follows_as_one_digest(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock, ends: list[tuple[str, Fate]]
    ) -> None:
        box = make(Grouping(5.0))
        for number in range(1, 41):
            box.put(alert(number))
            run(box, clock)
        assert sink.ids() == ["alert_1"]
        run(box, clock, 5)
        _, digest = sink.got
        assert len(digest.alerts) == 39
        payload = digest.payload()
        assert (payload["type"], payload["data"]["count"]) == (DIGEST, 39)
        assert [each["id"] for each in payload["data"]["alerts"]] == [f"alert_{n}" for n in range(2, 41)]
        assert payload["data"]["commands"] == ["fusebox alerts list"]
        assert sorted(ends) == sorted((f"alert_{n}", Fate.DELIVERED) for n in range(1, 41))
        assert (box.pending, box.delivered) == (0, 40)

    def test_what_differs_in_a_name_of_the_group_does_not_wait(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock
    ) -> None:
        box = make(Grouping(5.0, ("type", "agent")))
        for number, agent in enumerate(["a", "b", "a"]):
            box.put(alert(number, agent=agent))
            run(box, clock)
        assert sink.ids() == ["alert_0", "alert_1"]
        run(box, clock, 5)
        assert sink.ids() == ["alert_0", "alert_1", "alert_2"]

    def test_without_grouping_each_goes_by_itself(self, make: MakeBox, sink: ToldSink, clock: ManualClock) -> None:
        box = make()
        for number in range(5):
            box.put(alert(number))
        run(box, clock)
        assert [len(parcel.alerts) for parcel in sink.got] == [1] * 5

    def test_a_digest_is_bounded(self, make: MakeBox, sink: ToldSink, clock: ManualClock) -> None:
        box = make(Grouping(5.0))
        for number in range(MAX_DIGEST + 50):
            box.put(alert(number))
        run(box, clock, 6)
        assert [len(parcel.alerts) for parcel in sink.got] == [MAX_DIGEST, 50]
        assert len(set(sink.ids())) == MAX_DIGEST + 50

    def test_what_was_attempted_is_retried_as_it_was(self, make: MakeBox, sink: ToldSink, clock: ManualClock) -> None:
        """A receiver that took it, and whose answer was lost, knows it again by its id."""
        box = make(Grouping(5.0))
        sink.outcomes = [AWAY]
        box.put(alert(1))
        run(box, clock)
        box.put(alert(2))
        clock.advance(20)  # both are due
        run(box, clock)
        assert sorted([each.id for each in parcel.alerts] for parcel in sink.got) == [["alert_1"], ["alert_2"]]


class TestRetries:
    def test_a_parcel_is_retried_on_the_schedule_of_standard_webhooks_then_given_up(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock, ends: list[tuple[str, Fate]]
    ) -> None:
        box, at = make(), []
        sink.outcomes = [REFUSED] * 20
        started = clock.wall()
        box.put(alert())
        while box.pending:
            attempts = len(sink.attempts)
            pause = box.step() or 0.0
            if len(sink.attempts) > attempts:
                at.append(clock.wall() - started)
            clock.advance(pause)
        planned = [sum(PAUSES_S[: n + 1]) for n in range(len(PAUSES_S))]
        assert len(at) == len(planned)
        for real, plan, pause in zip(at, planned, PAUSES_S, strict=True):
            assert plan <= real <= plan + pause * 0.1 + 1e-6
        assert ends == [("alert_1", Fate.GIVEN_UP)]
        assert (box.failed, make().failed) == (1, 1)

    def test_what_was_given_up_is_kept_for_people_but_not_without_end(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(folder, "_MAX_FAILED", 10)
        box, forgotten = make(), happenings.counts()["alert_forgotten"]
        sink.outcomes = [GONE]
        for number in range(11):
            box.put(alert(number))
            os.utime(tmp_path / "box" / f"alert_{number}.json", (number, number))
            run(box, clock)
        kept = {f"alert_{number}" for number in range(3, 11)}
        assert {path.stem for path in (tmp_path / "box").glob("*.failed")} == kept
        assert (box.alerts(), box.failed, make().failed) == (kept, 8, 8)
        assert happenings.counts()["alert_forgotten"] == forgotten + 3

    def test_the_schedule_survives_a_restart(self, make: MakeBox, sink: ToldSink, clock: ManualClock) -> None:
        sink.outcomes = [REFUSED] * 80
        make().put(alert())
        for _ in range(32):
            box = make()
            run(box, clock)
            clock.advance(MAX_AGE_S / 30)
        assert (make().pending, make().failed) == (0, 1)

    def test_next_attempts_lie_ahead_whatever_the_time(self) -> None:
        for now in (0.0, 4.9, 5.0, 304.9, 100_000.0):
            due = next_attempt(0.0, now)
            assert due is not None
            assert due > now
        assert next_attempt(0.0, MAX_AGE_S) is None

    def test_a_clock_that_was_put_back_delays_no_alert(self) -> None:
        due = next_attempt(7_200.0, 0.0)
        assert due is not None
        assert 5.0 <= due <= 5.5

    def test_the_receivers_own_wish_is_granted(self, make: MakeBox, sink: ToldSink, clock: ManualClock) -> None:
        box = make()
        sink.outcomes = [Outcome(Fate.RETRY, "429", after=120.0)]
        box.put(alert(1))
        box.put(alert(2))
        run(box, clock, 119)
        assert len(sink.attempts) == 1
        run(box, clock, 2)
        assert sorted(sink.ids()) == ["alert_1", "alert_2"]

    def test_one_refused_parcel_holds_up_no_other(self, make: MakeBox, sink: ToldSink, clock: ManualClock) -> None:
        box = make()
        sink.outcomes = [REFUSED]
        box.put(alert(1))
        run(box, clock)
        box.put(alert(2))
        run(box, clock)
        assert sink.ids() == ["alert_2"]
        run(box, clock, 6)
        assert sink.ids() == ["alert_2", "alert_1"]


class TestCircuit:
    def test_a_receiver_that_is_away_is_left_alone_and_gets_everything_once_it_is_back(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock
    ) -> None:
        box = make()
        sink.outcomes = [AWAY] * 6
        for number in range(20):
            box.put(alert(number))
        run(box, clock, 9)
        assert len(sink.attempts) == 5
        assert box.state == "open"
        run(box, clock, 2)
        assert len(sink.attempts) == 6  # the probe
        run(box, clock, 18)
        assert len(sink.attempts) == 6  # the second time it waits twice as long
        run(box, clock, 3)
        assert sorted(sink.ids()) == sorted(f"alert_{n}" for n in range(20))
        assert box.state == "closed"

    def test_410_disables_until_a_test_comes_through(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock, ends: list[tuple[str, Fate]]
    ) -> None:
        box = make()
        sink.outcomes = [GONE]
        box.put(alert(1))
        run(box, clock)
        box = make()
        box.put(alert(2))
        run(box, clock)
        assert (len(sink.attempts), box.state, box.failed) == (1, "disabled", 2)
        assert ends == [("alert_1", Fate.GONE), ("alert_2", Fate.GONE)]
        box.revive()
        box.put(alert(3))
        run(box, clock)
        assert (sink.ids(), make().state) == (["alert_3"], "closed")


class TestWhatIsKnown:
    def test_an_alert_that_waits_or_was_given_up_is_not_stored_again(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock
    ) -> None:
        box = make()
        sink.outcomes = [GONE]
        box.put(alert(1))
        box.put(alert(1))
        assert box.pending == 1
        run(box, clock)
        box.put(alert(1))
        assert (box.pending, box.failed) == (0, 1)

    def test_what_is_withdrawn_is_sent_no_more(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock, ends: list[tuple[str, Fate]]
    ) -> None:
        box = make()
        sink.outcomes = [REFUSED]
        box.put(alert(1))
        run(box, clock)
        assert box.withdraw("alert_1")
        assert not box.withdraw("alert_1")
        run(box, clock, 1_000)
        assert (len(sink.attempts), make().pending) == (1, 0)
        assert ends == [("alert_1", Fate.WITHDRAWN)]

    def test_a_damaged_file_is_set_aside_and_holds_up_no_other(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock, tmp_path: Path
    ) -> None:
        make().put(alert(1))
        (tmp_path / "box" / "alert_0.json").write_text('{"id": "alert_0"')
        run(make(), clock)
        assert sink.ids() == ["alert_1"]
        assert (tmp_path / "box" / "alert_0.failed").exists()

    def test_a_disk_that_takes_nothing_keeps_no_alert_from_people(
        self, make: MakeBox, sink: ToldSink, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        box = make(Grouping(5.0))
        monkeypatch.setattr("collector.alerts.folder.write_atomic", _full)
        for number in range(3):
            box.put(alert(number))
        run(box, clock, 20)
        assert sorted(sink.ids()) == ["alert_0", "alert_1", "alert_2"]


def _full(*_: object) -> None:
    raise OSError(28, "no space left on device")
