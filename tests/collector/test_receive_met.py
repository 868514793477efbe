"""A span that comes again in another request is stored once, if it is the same, of the same sender, and was stored."""

from collections.abc import Callable

import pytest

from collector.otlp import facts_of
from collector.receive.decode import Encoding
from collector.receive.intake import Answer, Intake
from collector.receive.met import Met
from collector.receive.refusal import Refusal
from collector.receive.repeats import Repeats
from collector.receive.signals import TRACES
from collector.spool.errors import SpoolFailed
from collector.tokens import Principal
from fusebox import happenings
from fusebox.clock import ManualClock
from tests.collector.spans import Span, request

ONE, OTHER = (Principal(name, "default", frozenset({"*"})) for name in ("one", "other"))


class Spool:
    """Keeps records, or fails."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.broken = False

    def append(self, payload: bytes) -> int:
        if self.broken:
            raise SpoolFailed("the disk is gone")
        self.records.append(payload)
        return len(self.records)

    def ids(self) -> list[int]:
        return [int(fact.span_id, 16) for record in self.records for fact in facts_of(record)]


Send = Callable[..., Answer]


@pytest.fixture
def spool() -> Spool:
    return Spool()


@pytest.fixture
def send(spool: Spool) -> Send:
    intake = Intake(spool, ManualClock(), Repeats(ManualClock()), met=Met(capacity=4))

    def take(*spans: Span, principal: Principal = ONE) -> Answer:
        return intake.take(request(*spans), Encoding.PROTOBUF, principal, TRACES)

    return take


def test_a_span_in_other_company_is_stored_once_and_its_sender_told_that_it_is(send: Send, spool: Spool) -> None:
    before = happenings.counts()["spans_repeated"]
    assert send(Span(1), Span(2)) == Answer()
    assert send(Span(2), Span(3)) == Answer()
    assert send(Span(3)) == Answer()
    assert send(Span(4), Span(4)) == Answer()
    assert spool.ids() == [1, 2, 3, 4]
    assert len(spool.records) == 3, "nothing new, nothing stored"
    assert happenings.counts()["spans_repeated"] == before + 3


def test_what_was_not_stored_is_not_known(send: Send, spool: Spool) -> None:
    spool.broken = True
    with pytest.raises(Refusal):
        send(Span(1), Span(2))
    spool.broken = False
    send(Span(1))
    assert spool.ids() == [1]


def test_a_restart_forgets_nothing_that_the_spool_still_has(send: Send, spool: Spool) -> None:
    send(Span(1), Span(2))
    met = Met()
    for record in (*spool.records, b"no record"):
        met.learn(record)
    later = Intake(spool, ManualClock(), Repeats(ManualClock()), met=met)
    later.take(request(Span(2), Span(3)), Encoding.PROTOBUF, ONE, TRACES)
    assert spool.ids() == [1, 2, 3]


def test_nobody_can_keep_the_spans_of_another_out(send: Send, spool: Spool) -> None:
    send(Span(1), principal=OTHER)
    send(Span(1))
    assert spool.ids() == [1, 1]


@pytest.mark.parametrize("other", [Span(1, kind=2), Span(1, seconds=9.0), Span(1, trace_id=2)])
def test_the_same_id_is_not_the_same_span(send: Send, spool: Spool, other: Span) -> None:
    send(Span(1))
    send(other)
    assert len(spool.ids()) == 2


def test_only_the_last_ones_are_remembered(send: Send, spool: Spool) -> None:
    for number in range(1, 13):
        send(Span(number))
    send(Span(12), Span(9), Span(1))
    assert spool.ids() == [*range(1, 13), 1]
