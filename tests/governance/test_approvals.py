"""Approvals in a store: what may become of one, whoever races, forges or puts back what was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import BaseModel, Field, SecretStr

from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.errors import StoreUnavailable
from fusebox.store import MemoryStore, Script, Store
from governance.approvals.approval import LIVE, Answer, Approval, NotTaken, NotYours, Stage
from governance.approvals.index import Index
from governance.approvals.register import KEEP_S, Register, Terms, TooMany
from governance.approvals.request import Request, Unaskable, exact

KEY = b"k" * 32
REQUEST = Request("buyer", "tool_call", "erp.commit", "PO-1", exact({"quantity": 200}), origin="msg_1")
PUT = Script("return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])", lambda row, args: row.update({args[0]: args[1]}))
TERMS = Terms(("dana", "jo", "kim"), people=1, lasts_s=60.0, each=3)


class Kept:
    """A register, and what it had recorded."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.recorded = store, clock, []  # type: ignore[var-annotated]
        self.register = Register(store, clock, "default", KEY, lambda step, _: self.recorded.append(step))

    def ask(self, request: Request = REQUEST, terms: Terms = TERMS, requester: str = "host") -> Approval:
        return self.register.ask(request, requester, terms)

    def answer(self, approval: Approval, by: str = "dana", *, approve: bool = True, digest: str = "") -> Approval:
        said = Answer(by, approve, "read it", digest or approval.digest, "api", self.clock.wall())
        return self.register.answer(approval.id, said)


@pytest.fixture
def kept(store: Store, clock: ManualClock) -> Kept:
    return Kept(store, clock)


@pytest.fixture
def in_memory(clock: ManualClock) -> Kept:
    return Kept(MemoryStore(), clock)


def test_asked_answered_used_once(kept: Kept) -> None:
    approval = kept.ask()
    assert kept.ask() == approval, "the same question is one question"
    assert kept.register.get(approval.id) == approval
    with pytest.raises(NotTaken, match="waits for"):
        kept.register.use(approval.id)
    assert kept.answer(approval).stage is Stage.APPROVED
    assert kept.register.use(approval.id).stage is Stage.USED
    with pytest.raises(NotTaken, match="used already"):
        kept.register.use(approval.id)
    assert kept.recorded == ["asked", "answered", "used"]
    assert kept.register.live() == []
    assert [each.id for each in kept.register.over(5)] == [approval.id]


def test_of_many_that_use_it_at_once_one_does_also_through_other_registers(kept: Kept) -> None:
    approval = kept.ask()
    kept.answer(approval)
    others = [Kept(kept.store, kept.clock).register for _ in range(4)]

    def use(n: int) -> bool:
        try:
            return others[n % 4].use(approval.id).stage is Stage.USED
        except NotTaken:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(use, range(100))) == 1


def test_of_many_answers_at_once_each_person_counts_once(kept: Kept) -> None:
    approval = kept.ask(terms=replace(TERMS, people=2))

    def agree(n: int) -> bool:
        try:
            return bool(kept.answer(approval, ("dana", "jo")[n % 2]))
        except NotTaken:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(agree, range(100))) == 2
    found = kept.register.get(approval.id)
    assert found is not None
    assert (found.stage, sorted(a.by for a in found.answers)) == (Stage.APPROVED, ["dana", "jo"])


def test_who_asked_does_not_answer_nor_does_a_stranger(in_memory: Kept) -> None:
    approval = in_memory.ask(requester="dana")
    assert approval.allowed == ("jo", "kim")
    for who in ("dana", "buyer", "stranger"):
        with pytest.raises(NotYours):
            in_memory.answer(approval, who)
    with pytest.raises(NotTaken, match="takes 2 people"):
        in_memory.ask(replace(REQUEST, origin="2"), Terms(("dana", "buyer", "jo"), people=2), requester="dana")


def test_an_answer_is_to_what_was_read_and_comes_in_time(in_memory: Kept) -> None:
    approval = in_memory.ask()
    with pytest.raises(NotTaken, match="something else"):
        in_memory.answer(approval, digest="0" * 64)
    in_memory.clock.advance(60.0)
    with pytest.raises(NotTaken, match="has expired"):
        in_memory.answer(approval)
    assert [each.stage for each in in_memory.register.expire()] == [Stage.EXPIRED]
    assert in_memory.ask().id != approval.id


def test_what_was_agreed_to_expires_unused_and_can_be_taken_back(in_memory: Kept) -> None:
    first = in_memory.ask()
    in_memory.clock.advance(50.0)
    in_memory.answer(first)
    in_memory.clock.advance(59.0)
    assert in_memory.register.expire() == [], "its time begins anew with the answer"
    in_memory.clock.advance(1.0)
    with pytest.raises(NotTaken, match="has expired"):
        in_memory.register.use(first.id)
    second = in_memory.ask()
    in_memory.answer(second)
    assert in_memory.answer(second, "jo", approve=False).stage is Stage.DENIED
    with pytest.raises(NotTaken, match="denied already"):
        in_memory.register.use(second.id)


def test_nobody_is_asked_more_than_a_person_can_read(in_memory: Kept) -> None:
    for n in range(3):
        in_memory.ask(replace(REQUEST, origin=str(n)), replace(TERMS, allowed=("dana",)))
    with pytest.raises(TooMany):
        in_memory.ask(replace(REQUEST, origin="one more"), replace(TERMS, allowed=("dana",)))
    free = in_memory.ask(replace(REQUEST, origin="jo has time"), replace(TERMS, allowed=("dana", "jo")))
    in_memory.answer(free, "jo")


def test_what_cannot_be_recorded_does_not_happen(clock: ManualClock) -> None:
    def refuse(step: str, approval: Approval) -> None:
        if step in refused:
            raise OSError("the disk is full")

    refused = {"asked"}
    register = Register(MemoryStore(), clock, "default", KEY, refuse)
    with pytest.raises(OSError, match="disk"):
        register.ask(REQUEST, "", TERMS)
    assert register.live() == []
    refused.clear()
    approval = register.ask(REQUEST, "", TERMS)
    refused |= {"answered", "used"}
    with pytest.raises(OSError, match="disk"):
        register.answer(approval.id, Answer("dana", True, "", approval.digest, "api", clock.wall()))
    assert register.get(approval.id) == approval


def test_who_can_write_to_the_store_can_neither_approve_nor_repeat(kept: Kept) -> None:
    store, approval = kept.store, kept.ask()
    key = f"fusebox:default:approval:{approval.id}"
    forge = Script(
        "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return 1", lambda h, a: h.update({a[0]: a[1]}) or 1
    )  # fmt: skip
    pending = store.read(key)
    store.run(forge, key, "approval", pending["approval"].replace('"pending"', '"approved"'))
    assert kept.register.get(approval.id) is None
    store.run(forge, key, "approval", pending["approval"])
    kept.answer(approval)
    approved = store.read(key)
    for field, value in pending.items():
        store.run(forge, f"{key}0", field, value)  # a sealed row, of another id
    assert kept.register.get(f"{approval.id}0") is None
    kept.register.use(approval.id)
    for field, value in approved.items():  # what a backup would put back
        store.run(forge, key, field, value)
    with pytest.raises(NotTaken):
        kept.register.use(approval.id)
    restarted = Kept(store, kept.clock).register
    restarted.ended(approval.id)  # the journal says so
    with pytest.raises(NotTaken):
        restarted.use(approval.id)


@pytest.mark.parametrize("text", ["", "pending", "maybe 5.0 buyer", "pending soon buyer", "approved nan buyer"])
def test_a_damaged_entry_of_the_index_is_told_and_hides_no_approval(kept: Kept, text: str) -> None:
    approval = kept.ask()
    place = "fusebox:default:approvals"
    kept.store.run(PUT, place, approval.id, text)
    kept.store.run(PUT, place, "apr_nobody", text)
    before = happenings.counts()["approval_index_damaged"]
    assert kept.register.live() == [approval]
    assert happenings.counts()["approval_index_damaged"] == before + 2

    kept.store.run(PUT, place, approval.id, text)
    assert kept.register.expire() == []  # it is not due, and indexed again
    told = happenings.counts()["approval_index_damaged"]
    assert kept.register.standing({"buyer"}) == {approval.id: "pending"}
    assert list(kept.store.read(place)) == [approval.id]
    kept.clock.advance(TERMS.lasts_s)
    assert [each.id for each in kept.register.expire()] == [approval.id]
    assert happenings.counts()["approval_index_damaged"] == told


def test_two_values_that_differ_have_two_texts() -> None:
    values = [1, 1.0, True, "1", None, "None", [], {}, {"a": 1}, {"a": "1"}, b"\xff", "\xff", [1, [2]], [1, 2]]
    assert len({exact(value) for value in values}) == len(values)
    for value in (float("inf"), {1: 2}, object(), {"a"}, "\ud800", "x" * 70_000):
        with pytest.raises(Unaskable):
            exact(value)


class Payment(BaseModel):
    to: str
    amount: int = Field(exclude=True)


class Login(BaseModel):
    password: SecretStr


def test_what_a_model_leaves_out_of_its_json_is_shown_all_the_same() -> None:
    assert exact(Payment(to="x", amount=5)) == '{"amount":5,"to":"x"}'
    with pytest.raises(Unaskable, match="secret"):
        exact({"login": Login(password=SecretStr("1234"))})


def test_looking_at_arguments_uses_nothing_up() -> None:
    rows = iter([1, 2])
    with pytest.raises(Unaskable, match="list"):
        exact({"rows": rows})
    assert list(rows) == [1, 2]


def test_the_digest_is_of_all_that_matters_and_nothing_else() -> None:
    for name in ("agent", "kind", "operation", "target", "arguments", "contract", "revision"):
        assert replace(REQUEST, **{name: "other"}).digest("default") != REQUEST.digest("default"), name
    for name in ("reason", "workflow", "trace_id", "origin", "guard"):
        assert replace(REQUEST, **{name: "other"}).digest("default") == REQUEST.digest("default"), name
    assert REQUEST.digest("another") != REQUEST.digest("default")


class Machine(RuleBasedStateMachine):
    """The register against a table of what each approval has become."""

    people = st.sampled_from(["dana", "jo", "kim", "stranger"])
    origins = st.sampled_from(["a", "b"])

    @initialize(people=st.integers(1, 2))
    def begin(self, people: int) -> None:
        self.clock = ManualClock()
        self.kept = Kept(MemoryStore(), self.clock)
        self.terms = replace(TERMS, people=people, each=100)
        self.stage: dict[str, Stage] = {}
        self.until: dict[str, float] = {}
        self.agreed: dict[str, set[str]] = {}
        self.latest: dict[str, str] = {}

    def _live(self, id: str) -> bool:
        return self.stage[id] in LIVE and self.clock.wall() < self.until[id]

    @rule(origin=origins)
    def ask(self, origin: str) -> None:
        known = self.latest.get(origin, "")
        approval = self.kept.ask(replace(REQUEST, origin=origin), self.terms)
        if known and self._live(known):
            assert approval.id == known
            return
        assert approval.id not in self.stage
        self.latest[origin] = approval.id
        self.stage[approval.id], self.until[approval.id] = Stage.PENDING, self.clock.wall() + 60.0
        self.agreed[approval.id] = set()

    @rule(origin=origins, who=people, approve=st.booleans(), read=st.booleans())
    def answer(self, origin: str, who: str, approve: bool, read: bool) -> None:
        id = self.latest.get(origin)
        if id is None:
            return
        agreed, live = self.agreed[id], self._live(id)
        counts = live and who != "stranger" and read
        counts = counts and (not approve or (who not in agreed and self.stage[id] is Stage.PENDING))
        before = self.kept.register.get(id)
        assert before is not None
        try:
            self.kept.answer(before, who, approve=approve, digest="" if read else "0" * 64)
        except NotTaken:
            assert not counts
            return
        assert counts
        if not approve:
            self.stage[id] = Stage.DENIED
            return
        agreed.add(who)
        if len(agreed) == self.terms.people:
            self.stage[id], self.until[id] = Stage.APPROVED, self.clock.wall() + 60.0

    @rule(origin=origins)
    def use(self, origin: str) -> None:
        id = self.latest.get(origin)
        if id is None:
            return
        may = self._live(id) and self.stage[id] is Stage.APPROVED
        try:
            self.kept.register.use(id)
        except NotTaken:
            assert not may
        else:
            assert may
            self.stage[id] = Stage.USED

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def expire(self) -> None:
        ended = {approval.id for approval in self.kept.register.expire()}
        due = {id for id, stage in self.stage.items() if stage in LIVE and not self._live(id)}
        assert ended == due
        self.stage |= dict.fromkeys(due, Stage.EXPIRED)

    @rule()
    def restart(self) -> None:
        self.kept = Kept(self.kept.store, self.clock)

    @invariant()
    def all_stand_as_they_should(self) -> None:
        if not hasattr(self, "stage"):
            return
        for id, stage in self.stage.items():
            found = self.kept.register.get(id)
            assert found is not None
            assert found.stage is stage
        assert {each.id for each in self.kept.register.live()} == {id for id in self.stage if self._live(id)}


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestModel = Machine.TestCase


class Breaking(MemoryStore):
    """A store that fails at the n-th step from now."""

    left = -1

    def run(self, script: Script, key: str, *args: str, ttl: int | None = None) -> object:
        self.left -= 1
        if self.left == 0:
            raise StoreUnavailable("away")
        return super().run(script, key, *args, ttl=ttl)


@pytest.fixture
def breaking(clock: ManualClock) -> tuple[Breaking, Kept]:
    store = Breaking()
    return store, Kept(store, clock)


def test_a_store_that_fails_in_the_middle_loses_no_approval_and_invents_none(
    breaking: tuple[Breaking, Kept],
) -> None:
    store, kept = breaking
    approval = kept.ask()
    store.left = 2  # the row is written, the index is not
    with pytest.raises(StoreUnavailable):
        kept.answer(approval)
    assert kept.recorded == ["asked", "answered", "failed"]
    kept.clock.advance(60.0)
    assert [each.stage for each in kept.register.expire()] == [Stage.EXPIRED]


def test_what_has_ended_is_forgotten_after_a_while(in_memory: Kept) -> None:
    approval = in_memory.ask()
    in_memory.answer(approval, approve=False)
    index = Index(in_memory.store, "default", KEEP_S)
    assert [entry.id for entry in index.entries(in_memory.clock.wall() + KEEP_S)] == [approval.id]
    assert index.entries(in_memory.clock.wall() + KEEP_S + 1) == []
