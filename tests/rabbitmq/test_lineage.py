"""Lineage: bounded, validated, sealed; a ring is seen on its third lap and a reply is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakers.board import Board
from breakers.circuit import Circuits
from fusebox import happenings, names
from fusebox.clock import ManualClock
from fusebox.records import Action, ActionKind, Hop
from fusebox.registry import Registry
from fusebox.store import MemoryStore
from rabbitmq.lineage import MAX_HOPS, LineageCodec, LineageGuard

AGENT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True)
HOPS = st.lists(st.builds(Hop, AGENT, st.integers(0, 2**64 - 1)), max_size=MAX_HOPS).map(tuple)


def publish(agent: str, request: int, *lineage: Hop) -> Action:
    return Action(ActionKind.PUBLISH, agent, "a.b", request=request, lineage=lineage)


def lineage_guard() -> LineageGuard:
    clock = ManualClock()
    return LineageGuard(Registry(), Circuits(Board(MemoryStore(), clock), clock))


@given(HOPS, st.sampled_from([None, "secret"]))
def test_a_chain_survives_the_headers(lineage: tuple[Hop, ...], key: str | None) -> None:
    codec = LineageCodec(key)
    assert codec.read(codec.write(lineage, "m1"), "m1") == lineage


@pytest.mark.parametrize(
    "header",
    ["x" * 10_000_000, "no-hash", "a/123", "a/zzzzzzzzzzzzzzzz", "/" * 64, ",", 7, "a/0123456789abcdef," * 200],
)
def test_a_forged_or_huge_header_is_dropped_and_counted(header: str | int) -> None:
    before = happenings.counts()["bad_lineage"]
    assert LineageCodec().read({names.H_LINEAGE: header}, "m1") == ()
    assert happenings.counts()["bad_lineage"] == before + 1


def test_a_seal_binds_the_chain_to_its_message() -> None:
    codec, lineage = LineageCodec("secret"), (Hop("a", 1),)
    headers = codec.write(lineage, "m1")
    assert codec.read(headers, "m1") == lineage
    assert codec.read(headers, "m2") == ()
    assert codec.read({**headers, names.H_LINEAGE: "b/0000000000000001"}, "m1") == ()
    assert codec.read({names.H_LINEAGE: headers[names.H_LINEAGE]}, "m1") == ()


def test_only_the_newest_hops_travel() -> None:
    lineage = tuple(Hop("a", n) for n in range(100))
    assert LineageCodec().read(LineageCodec().write(lineage, "m"), "m") == lineage[-MAX_HOPS:]


def test_a_reply_is_no_ring() -> None:
    assert lineage_guard().check(publish("a", 1, Hop("a", 1), Hop("b", 2))).allowed


def test_the_third_lap_is_denied_and_names_the_ring() -> None:
    ring = (Hop("a", 1), Hop("b", 2), Hop("c", 3))
    verdict = lineage_guard().check(publish("a", 1, *ring * 3))
    assert not verdict.allowed
    assert "a → b → c → a" in verdict.reason


def test_something_new_is_no_ring() -> None:
    ring = (Hop("a", 1), Hop("b", 2)) * 5
    assert lineage_guard().check(publish("a", 99, *ring)).allowed
