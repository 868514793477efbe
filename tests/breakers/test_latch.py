"""The kill latch: a join that survives everything."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakers.guards import LatchGuard
from breakers.latch import Latch
from fusebox import happenings
from fusebox.errors import BadCommand
from fusebox.records import Action, ActionKind

IDS = st.sampled_from([f"k{n}" for n in range(5)])
SCOPES = {f"k{n}": scope for n, scope in enumerate(["agent:a", "agent:a", "agent:b", "all", "agent:c"])}
STEPS = st.one_of(st.tuples(st.just("kill"), IDS), st.tuples(st.just("lift"), st.frozensets(IDS, max_size=3)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "latch" / "me.jsonl"


def test_a_kill_cuts_and_a_lift_frees(path: Path) -> None:
    latch = Latch(path)
    assert latch.killed("a") is None
    assert latch.kill("k1", "agent:a", reason="runaway", operator="jo", time=5.0)
    assert not latch.kill("k1", "agent:a")
    verdict = LatchGuard(latch).check(Action(ActionKind.TOOL_CALL, "a", "op"))
    assert not verdict.allowed
    assert (verdict.guard, verdict.reason, verdict.retry_after) == ("latch", "killed by jo: runaway", None)
    assert LatchGuard(latch).check(Action(ActionKind.TOOL_CALL, "b", "op")).allowed
    assert latch.lift(["k1"])
    assert not latch.lift(["k1"])
    assert latch.killed("a") is None
    assert latch.kills() == {}
    assert latch.lifted() == {"k1"}


def test_all_covers_everybody_and_one_lift_lifts_nothing_else() -> None:
    latch = Latch()
    latch.kill("k1", "all")
    latch.kill("k2", "agent:a")
    latch.lift(["k1"])
    assert latch.killed("b") is None
    assert latch.killed("a")


@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ("tool:jira.comment", {"comment"}),
        ("workflow:wf_1", {"comment", "ask"}),
        ("tenant:default", {"comment", "ask", "elsewhere"}),
        ("tenant:acme", set()),
        ("agent:a", {"comment", "ask"}),
    ],
)
def test_a_kill_stops_what_its_scope_covers_and_only_that(path: Path, scope: str, stopped: set[str]) -> None:
    actions = {
        "comment": Action(ActionKind.TOOL_CALL, "a", "jira.comment", workflow="wf_1"),
        "ask": Action(ActionKind.MODEL_CALL, "a", "jira.comment", workflow="wf_1"),
        "elsewhere": Action(ActionKind.TOOL_CALL, "b", "search", workflow="wf_2"),
    }
    Latch(path).kill("k1", scope)
    latch = Latch(path)
    assert {name for name, action in actions.items() if latch.stops(action)} == stopped
    assert {name for name, action in actions.items() if not LatchGuard(latch).check(action).allowed} == stopped
    assert bool(latch.killed("a")) == (scope in ("tenant:default", "agent:a"))
    latch.lift(["k1"])
    assert not any(latch.stops(action) for action in actions.values())


def test_a_lift_before_its_kill(path: Path) -> None:
    Latch(path).lift(["k1"])
    again = Latch(path)
    assert not again.kill("k1", "all")
    assert again.killed("a") is None


def test_it_survives_a_restart_and_the_file_is_private(path: Path) -> None:
    Latch(path).kill("k1", "agent:a", reason="grüße\nzeile", operator="jo", time=5.0)
    again = Latch(path)
    kill = again.killed("a")
    assert kill
    assert (kill.reason, kill.operator, kill.time) == ("grüße\nzeile", "jo", 5.0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_process_whose_latch_makes_the_data_folder_makes_it_private(tmp_path: Path) -> None:
    Latch(tmp_path / "data" / "latch" / "agents.jsonl").kill("k1", "agent:a")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data", tmp_path / "data" / "latch")] == [
        0o700
    ] * 2


def test_a_vouch_survives_a_restart_and_frees_nobody(path: Path) -> None:
    latch = Latch(path)
    latch.kill("k1", "agent:a")
    assert not latch.vouched("a")
    assert latch.vouch("a")
    assert not latch.vouch("a")
    again = Latch(path)
    assert again.vouched("a")
    assert not again.vouched("b")
    assert again.killed("a")


def test_a_file_vouches_for_a_bounded_number_of_agents(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breakers.latch.MAX_VOUCHED", 10)
    latch, before = Latch(path), happenings.counts()["latch_vouches_full"]
    assert [latch.vouch(f"job-{number}") for number in range(50)] == [True] * 10 + [False] * 40
    again = Latch(path)
    assert again.vouched("job-9")
    assert not again.vouched("job-10")
    assert len(path.read_bytes().splitlines()) == 10
    assert happenings.counts()["latch_vouches_full"] == before + 1
    assert latch.kill("k1", "agent:job-49"), "kills have no bound"
    assert again.refresh()
    assert again.killed("job-49")


def test_a_kill_that_was_lifted_is_kept_by_its_id_alone(path: Path) -> None:
    latch = Latch(path)
    for number in range(50):
        latch.kill(f"k{number}", f"agent:a{number}", reason="loops")
        latch.lift([f"k{number}"])
    path.unlink()
    latch.kill("last", "agent:b")
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["op"] for record in kept] == ["lift", "kill"]
    again = Latch(path)
    assert not again.kill("k7", "agent:a7"), "a lift is for ever"
    assert again.killed("a7") is None
    assert again.killed("b")


def test_nobody_is_no_scope(path: Path) -> None:
    for scope in ("", "agent:", "team:x"):
        with pytest.raises(BadCommand, match="names nobody"):
            Latch(path).kill("k1", scope)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=12), st.data())
def test_any_order_duplicates_and_restarts_give_the_same_latch(
    steps: list[tuple[str, str | frozenset[str]]], data: st.DataObject
) -> None:
    killed = {what for word, what in steps if word == "kill"}
    lifted = frozenset(i for word, what in steps if word == "lift" for i in what)
    order = data.draw(
        st.permutations(steps + data.draw(st.lists(st.sampled_from(steps), max_size=4) if steps else st.just([])))
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "latch.jsonl"
        latches = [Latch(path), Latch(path)]
        for word, what in order:
            number = data.draw(st.integers(0, 1))
            if data.draw(st.booleans()):
                latches[number] = Latch(path)
            if word == "kill":
                assert isinstance(what, str)
                latches[number].kill(what, SCOPES[what])
            else:
                latches[number].lift(what)
        for latch in (*latches, Latch(path)):
            latch.refresh()
            assert set(latch.kills()) == killed - lifted
            assert latch.lifted() == lifted


def test_processes_that_share_a_file_learn_from_each_other(path: Path) -> None:
    one, other = Latch(path), Latch(path)
    one.kill("k1", "agent:a")
    assert other.refresh()
    assert not other.refresh()
    assert other.killed("a")
    other.lift(["k1"])
    one.kill("k2", "agent:b")  # takes in what the other appended
    assert one.killed("a") is None


def test_many_processes_append_at_once(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from breakers.latch import Latch; latch = Latch(Path(sys.argv[1]))\n"
        "for n in range(25): latch.kill(f'{sys.argv[2]}-{n}', f'agent:{n}')"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]
    assert [w.wait(60) for w in writers] == [0] * 4
    assert set(Latch(path).kills()) == {f"{p}-{n}" for p in range(4) for n in range(25)}
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_torn_last_line_is_no_record_and_does_not_spoil_the_next(path: Path) -> None:
    Latch(path).kill("k1", "agent:a")
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole + whole.replace(b"k1", b"k2")[:cut])
        latch = Latch(path)
        if cut < len(whole) - 1:
            assert set(latch.kills()) == {"k1"}, "what was never acknowledged"
        latch.kill("k3", "agent:c")
        assert set(Latch(path).kills()) >= {"k1", "k3"}
        assert not any(k.startswith("damaged") for k in Latch(path).kills())


def test_a_whole_last_line_without_newline_counts_and_is_completed(path: Path) -> None:
    Latch(path).kill("k1", "agent:a")
    path.write_bytes(path.read_bytes()[:-1])
    latch = Latch(path)
    assert latch.killed("a")
    latch.kill("k2", "agent:b")
    assert set(Latch(path).kills()) == {"k1", "k2"}


@pytest.mark.parametrize("lift_first", [True, False])
def test_a_lift_by_scope_and_id_lifts_no_other_kill_of_that_id(path: Path, lift_first: bool) -> None:
    for step in sorted(("kill", "lift"), reverse=lift_first):
        latch = Latch(path)
        if step == "kill":
            latch.kill("k1", "agent:a")
        else:
            latch.lift(["agent:b k1"])
    assert Latch(path).killed("a"), "whoever lied about it has lifted nothing"
    latch.lift(["agent:a k1"])
    assert Latch(path).killed("a") is None
    assert not latch.kill("k1", "agent:a"), "it never latches again"
    assert Latch(path).lifted() == frozenset(), "no id is lifted, whatever its scope"


DAMAGES = [
    b'{"op":"kill"}',
    b"\x00\xff garbage",
    b"[" * 5000,
    b'{"op":"kill","id":"k9","scope":"all","reason":"","operator":"","time":0.0,"sum":"0000000000000000"}',
    b'"text"',
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_cuts_everybody_until_a_person_lifts_it(path: Path, damage: bytes) -> None:
    Latch(path).lift(["k1"])
    before = happenings.counts()["latch_damaged"]
    path.write_bytes(damage + b"\n" + path.read_bytes())
    latch = Latch(path)
    assert happenings.counts()["latch_damaged"] == before + 1
    assert latch.killed("anybody")
    assert latch.lifted() == {"k1"}, "the readable lines count"
    (id_,) = latch.kills()
    latch.lift([id_])
    assert Latch(path).killed("anybody") is None


@pytest.mark.parametrize("position", [0, 5, 30, 60])
def test_a_flipped_bit_never_frees_anybody(path: Path, position: int) -> None:
    Latch(path).kill("k1", "agent:a")
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    assert Latch(path).killed("a")


def test_a_deleted_or_replaced_file_frees_nobody_and_is_written_anew(path: Path) -> None:
    latch = Latch(path)
    latch.kill("k1", "agent:a")
    latch.lift(["k0"])
    latch.vouch("a")
    path.unlink()
    assert not latch.refresh()
    assert latch.killed("a")
    latch.kill("k2", "agent:b")
    assert set(Latch(path).kills()) == {"k1", "k2"}
    assert Latch(path).lifted() == {"k0"}
    assert Latch(path).vouched("a")
    os.truncate(path, 0)
    latch.kill("k3", "agent:c")
    assert set(Latch(path).kills()) == {"k1", "k2", "k3"}


def test_a_full_disk_kills_but_does_not_lift(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    latch = Latch(path)
    latch.kill("k1", "agent:a")
    size = path.stat().st_size

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("breakers.latch_file.os.fsync", full)
        with pytest.raises(OSError, match="space"):
            latch.kill("k2", "agent:b")
        with pytest.raises(OSError, match="space"):
            latch.lift(["k1"])
        with pytest.raises(OSError, match="space"):
            latch.vouch("a")
        assert not latch.vouched("a")
        assert path.stat().st_size == size
        assert latch.killed("a")
        assert latch.killed("b")
    assert not latch.kill("k2", "agent:b"), "known, but now it is written"
    assert set(Latch(path).kills()) == {"k1", "k2"}


def test_looking_does_no_io(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    latch = Latch(path)
    latch.kill("k1", "agent:a")
    for name in ("stat", "open", "pread"):
        monkeypatch.setattr(f"breakers.latch_file.os.{name}", None)
    assert latch.killed("a")
    assert latch.killed("b") is None


def test_a_vouch_lives_and_dies_with_the_file(path: Path) -> None:
    latch = Latch(path)
    assert not latch.vouched("a")
    assert latch.vouch("a")
    assert not latch.vouch("a")
    assert Latch(path).vouched("a")
    assert not Latch(path).vouched("b")
    path.unlink()
    assert not Latch(path).vouched("a")
