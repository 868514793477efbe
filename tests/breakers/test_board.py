"""The atomic step: Lua on a real Redis, the twin in memory and a tiny model say the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakers.board import Board
from breakers.rows import Row, text
from breakers.steps import STEP
from fusebox.clock import ManualClock
from fusebox.store import MemoryStore, RedisStore, Store

OPENING = {"finding": "f", "base": "60", "growth": "2", "max": "3600"}
HOLDERS = st.sampled_from(["p1", "p2", "p3"])
MAYBE_HOLDER = st.sampled_from(["", "p1", "p2", "p3"])
PROBES = st.sampled_from(["1", "2", "2", "3"])
STATES = st.sampled_from(["closed", "open", "half_open"])
MODES = st.sampled_from(["normal", "observe_only", "disabled"])


def wishes() -> st.SearchStrategy[Row]:
    trip = st.builds(
        lambda open_s, expect, holder: {
            **OPENING, "kind": "trip", "open_s": open_s, "expect": expect, "holder": holder,
        },
        st.sampled_from(["", "", "5", "7200.5"]), st.sampled_from(["", "", "", "1", "3"]), MAYBE_HOLDER,
    )  # fmt: skip
    probe = st.builds(
        lambda h, kind, k: {"kind": kind, "holder": h, "lease_s": "30", "probes": k},
        HOLDERS, st.sampled_from(["probe", "renew"]), PROBES,
    )  # fmt: skip
    held = st.builds(
        lambda kind, h, k: {"kind": kind, "holder": h, "probes": k}, st.sampled_from(["close", "release"]), HOLDERS,
        PROBES,
    )  # fmt: skip
    back = st.builds(
        lambda state, version, openings: {
            "kind": "restore", "state": state, "mode": "normal", "version": version, "openings": openings,
            **({"stopped_by": openings.split(" ", 1)[-1]} if state == "open" else {}),
        },
        st.sampled_from(["closed", "closed", "open"]), st.sampled_from(["1", "3", "9"]),
        st.sampled_from(["", "t1", "t1 t2", "t9 x", "t1 t9 x", " ".join(f"o{number}" for number in range(15))]),
    )  # fmt: skip
    mode = st.builds(lambda m: {"kind": "mode", "mode": m}, MODES)
    plain = st.sampled_from([{"kind": "half_open"}, {"kind": "reset"}, {"kind": "nonsense"}])
    adopt = st.builds(
        lambda state, mode, ago, id_: {
            **OPENING, "kind": "adopt", "state": state, "mode": mode, "open_s": "", "ago": ago, "id": id_,
        },
        st.one_of(st.just(""), STATES), st.one_of(st.just(""), MODES), st.sampled_from(["-500", "0", "40"]),
        st.sampled_from(["a1", "a2", ""]),
    )  # fmt: skip
    forget = st.builds(
        lambda expect, before: {"kind": "forget", "expect": expect, "before": before},
        st.sampled_from(["1", "2", "3", "9"]), st.sampled_from(["0", "9e9"]),
    )  # fmt: skip
    return st.one_of(trip, probe, held, mode, plain, adopt, back, forget)


@pytest.fixture(scope="module")
def redis(redis_url: str) -> Iterator[Store]:
    store = RedisStore(redis_url)
    yield store
    store.close()


@settings(max_examples=200)
@given(
    script=st.lists(
        st.tuples(wishes(), st.sampled_from([0.0, 1.0, 29.5, 61.0, 4000.0, -30.0]), st.integers(0, 3)), max_size=20
    )
)
def test_lua_and_its_twin_agree_word_for_word(redis: Store, script: list[tuple[Row, float, int]]) -> None:
    memory, now, seen = MemoryStore(), 1_760_000_000.25, 0
    redis.delete("row")
    for number, (wish, passed, behind) in enumerate(script):
        now += passed
        seen = max(0, int(memory.read("row").get("version", "0")) - behind + 1) if number % 3 else 0
        full = {"id": f"t{number}", "actor": "x", "reason": f"r{number}", **wish, "now": text(now), "wall": text(now)}
        if "ago" in full:
            full["time"] = text(now - float(full.pop("ago")))
        if wish["kind"] == "restore":
            full = {**wish, "now": "0"} | ({"retry_at": text(now), "open_for": "9"} if wish["state"] == "open" else {})
        elif number % 5 == 0:
            full["stopped_by"] = f"t{behind}"
        args = [part for pair in (full | {"seen": str(seen)}).items() for part in pair]
        ours, theirs = memory.run(STEP, "row", *args), redis.run(STEP, "row", *args)
        assert (ours[:3], _pairs(ours)) == (theirs[:3], _pairs(theirs)), wish
        assert memory.read("row") == redis.read("row")
        _legal(memory.read("row"))
        _follows_the_diagram(wish, ours)


def _pairs(reply: list[str]) -> Row:
    return dict(zip(reply[3::2], reply[4::2], strict=True))


def _legal(row: Row) -> None:
    """The little model: which fields go with which state."""
    if not row:
        return
    assert row["state"] in ("closed", "open", "half_open")
    assert ("retry_at" in row) == (row["state"] == "open")
    permits = [name for name in row if name.startswith("probe:")]
    assert not permits or row["state"] == "half_open"
    assert len(permits) + int(row.get("passed", "0")) <= 3


_MOVES = {
    "trip": {("closed", "open"), ("half_open", "open")},
    "half_open": {("open", "half_open")},
    "reset": {("open", "closed"), ("half_open", "closed")},
    "probe": {("open", "half_open")},
    "close": {("half_open", "closed")},
}


def _follows_the_diagram(wish: Row, reply: list[str]) -> None:
    """The model of what may become of what: only these wishes move a state, and only this way."""
    word, before, mode, *_ = reply
    after = _pairs(reply)
    kind = wish["kind"]
    if word == "lost" or kind in ("adopt", "restore"):
        return
    if kind == "forget" and word == "done":
        assert (before, mode, after) == ("closed", "normal", {}), (
            "nothing that stops an agent, or lets it, is forgotten"
        )
    elif kind == "mode":
        assert after["state"] == before
        assert (word == "moved") == (wish["mode"] != mode)
    elif word == "moved":
        assert (before, after["state"]) in _MOVES[kind]
        assert kind != "trip" or mode == "normal"
    else:
        assert (after["state"], after["mode"]) == (before, mode), "only a transition changes what agents may do"


@pytest.fixture
def board(store: Store, clock: ManualClock) -> Board:
    return Board(store, clock)


def trip(**more: str) -> Row:
    return {
        **OPENING,
        "kind": "trip",
        "id": "t",
        "actor": "a",
        "reason": "r",
        "open_s": "",
        "expect": "",
        "holder": "",
        **more,
    }


def probe(holder: str, kind: str = "probe", probes: int = 1) -> Row:
    held = {"holder": holder, "lease_s": "30", "probes": str(probes)}
    return {"kind": kind, "id": "t", "actor": "circuit", "reason": "time", **held}


def test_open_time_grows_with_trips_in_a_row_and_is_forgiven_with_time(board: Board, clock: ManualClock) -> None:
    times = []
    for _ in range(8):
        row = board.step("a", trip()).row
        times.append(float(row["open_for"]))
        clock.advance(float(row["open_for"]))
        board.step("a", probe("p"))
    assert times == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock.advance(3600 * 8)
    assert float(board.step("a", trip()).row["open_for"]) == 60


def test_a_reset_forgives_all_trips(board: Board) -> None:
    for _ in range(4):
        board.step("a", trip())
        board.step("a", {"kind": "reset", "id": "t", "actor": "a", "reason": "r"})
    assert float(board.step("a", trip()).row["open_for"]) == 60


def holders(row: Row) -> set[str]:
    return {name.removeprefix("probe:") for name in row if name.startswith("probe:")}


def test_one_probe_at_a_time_and_a_dead_one_expires(board: Board, clock: ManualClock) -> None:
    board.step("a", trip())
    assert board.step("a", probe("early")).word == "refused"
    clock.advance(60)
    assert holders(board.step("a", probe("p1")).row) == {"p1"}
    assert holders(board.step("a", probe("p2")).row) == {"p1"}
    clock.advance(30)
    assert holders(board.step("a", probe("p2")).row) == {"p2"}
    assert board.step("a", probe("p1", "close")).word == "refused"
    assert board.step("a", probe("p2", "close")).moved


def test_three_probes_at_a_time_and_three_successes_close(board: Board, clock: ManualClock) -> None:
    board.step("a", trip())
    clock.advance(60)
    for holder in ("p1", "p2", "p3", "p4"):
        row = board.step("a", probe(holder, probes=3)).row
    assert holders(row) == {"p1", "p2", "p3"}
    assert board.step("a", probe("p1", "close", 3)).word == "done"
    assert board.step("a", probe("p5", probes=3)).word == "refused", "three are admitted, not three at a time"
    assert board.step("a", probe("p2", "release", 3)).word == "done"
    assert holders(board.step("a", probe("p5", probes=3)).row) == {"p3", "p5"}
    assert board.step("a", probe("p3", "close", 3)).word == "done"
    clock.advance(30)
    assert holders(board.step("a", probe("p6", probes=3)).row) == {"p6"}, "the lease of p5 is over"
    assert board.step("a", probe("p5", "close", 3)).word == "refused"
    assert board.step("a", probe("p6", "close", 3)).moved


def test_one_failed_probe_of_three_opens(board: Board, clock: ManualClock) -> None:
    board.step("a", trip())
    clock.advance(60)
    for holder in ("p1", "p2"):
        board.step("a", probe(holder, probes=3))
    board.step("a", probe("p1", "close", 3))
    assert board.step("a", trip(holder="p2")).moved
    assert board.row("a")["open_for"] == "120"
    assert "passed" not in board.row("a")


def test_fewer_probes_than_have_passed_leave_no_circuit_half_open_for_ever(board: Board, clock: ManualClock) -> None:
    board.step("a", trip())
    clock.advance(60)
    for holder in ("p1", "p2"):
        board.step("a", probe(holder, probes=3))
        board.step("a", probe(holder, "close", 3))
    assert holders(board.step("a", probe("p3", probes=1)).row) == {"p3"}
    assert board.step("a", probe("p3", "close", 1)).moved


def test_a_clock_that_ran_ahead_does_not_hold_the_circuit(board: Board, clock: ManualClock) -> None:
    clock.advance(86_400)
    board.step("a", trip())
    clock.advance(-86_400)
    assert board.step("a", probe("p")).word == "done"  # brought back to now
    clock.advance(60)
    assert board.step("a", probe("p")).moved


def test_a_state_nobody_knows_stays_shut(store: Store, board: Board) -> None:
    fields = {"kind": "restore", "now": "0", "seen": "0", "state": "killed", "mode": "normal", "version": "5"}
    board.restore("a", {k: v for k, v in fields.items() if k not in ("kind", "now", "seen")})
    assert board.step("a", probe("p")).word == "refused"
    assert board.rows()["a"]["state"] == "killed"


def test_tenants_do_not_meet(store: Store, clock: ManualClock) -> None:
    one, other = Board(store, clock, "one"), Board(store, clock, "other")
    one.step("a", trip())
    assert list(one.rows()) == ["a"]
    assert other.rows() == {}


def test_a_row_older_than_what_was_seen_decides_nothing(board: Board) -> None:
    row = board.step("a", trip()).row
    assert board.step("b", probe("p"), seen=1).lost
    board.restore("b", row)
    assert board.row("b") == row
    board.restore("b", {**row, "state": "closed", "version": "0"})
    assert board.row("b") == row


def test_a_row_that_does_not_know_the_opening_seen_decides_nothing(board: Board) -> None:
    """A flushed board may have grown past the version that was seen, by processes that knew nothing."""
    opened = board.step("a", trip(id="t1")).row
    for number in range(4):
        board.step(
            "b", {"kind": "mode", "mode": ("disabled", "normal")[number % 2], "id": "m", "actor": "x", "reason": ""}
        )
    assert board.step("b", probe("p"), seen=1, stopped_by="t1").lost
    board.restore("b", opened)
    row = board.row("b")
    assert (row["state"], row["openings"], row["version"]) == ("open", "t1", "5")


def test_what_opened_meanwhile_is_not_closed_by_an_older_row_put_back(board: Board) -> None:
    board.step("a", trip(id="t1"))
    closed = board.step("a", {"kind": "reset", "id": "r", "actor": "x", "reason": "fixed"}).row
    board.step("b", trip(id="t2"))
    board.restore("b", closed)
    row = board.row("b")
    assert (row["state"], row["openings"], row["version"]) == ("open", "t1 t2", "3")
    assert board.step("b", trip(), seen=3, stopped_by="t2").word == "refused"


def test_two_openings_that_know_nothing_of_each_other_are_both_known_then(board: Board) -> None:
    theirs = board.step("a", trip(id="t1")).row
    board.step("b", trip(id="t2"))
    board.restore("b", theirs)
    assert board.row("b")["openings"] == "t1 t2"
    board.restore("b", theirs)
    assert board.row("b")["version"] == "2", "said again, it changes nothing"


def _apart(store: Store, clock: ManualClock) -> list[Row]:
    """What three processes know after two flushes: two openings made apart, and that the first one was looked into."""
    boards = [Board(store, clock, tenant) for tenant in ("one", "other", "third")]
    first = boards[0].step("a", trip(id="t1")).row
    for wish in ({"kind": "half_open", "id": "h"}, {"kind": "reset", "id": "r"}):
        closed = boards[0].step("a", {**wish, "actor": "x", "reason": "fixed"}).row
    second = boards[1].step("a", trip(id="t2")).row
    third = boards[2].step("a", trip(id="t3")).row
    return [first, closed, second, third]


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_no_opening_is_forgotten_in_whichever_order_rows_are_put_back(
    store: Store, board: Board, clock: ManualClock, order: tuple[int, ...]
) -> None:
    rows = _apart(store, clock)
    for number in order:
        held = board.restore("a", rows[number])
        assert held == board.row("a")
    assert held["state"] == "open"
    assert set(held["stopped_by"].split()) >= {"t2", "t3"}, "nobody has looked into these"
    for number in order:
        assert board.restore("a", rows[number]) == held, "all that they know is known"
    board.step("a", {"kind": "reset", "id": "r2", "actor": "x", "reason": "fixed"})
    for number in order:
        assert board.restore("a", rows[number])["state"] == "closed"
