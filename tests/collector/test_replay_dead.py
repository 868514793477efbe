"""Dead letters are offered again on request: taken once, whatever part of them was stored, and kept when refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.audit.files import entries
from collector.keep.deadletters import DeadLetters
from collector.keep.orders import answer_to, order_of
from collector.spool import Writer
from collector.watch.damage import Damage
from fusebox import cli, happenings
from fusebox.clock import ManualClock
from fusebox.rundir import write_atomic
from tests.collector.keep_bench import Bench, replay_of
from tests.collector.spans import Span, request
from tests.fixtures.collector import StartRoles, until

_COUNTS = "SELECT (SELECT count() FROM otel_traces), (SELECT count() FROM agent_events)"
_WAITING = "SELECT count() FROM dead_letters_waiting"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def _replay(bench: Bench, reason: str = "") -> dict[str, object]:
    _replay_as(bench, "7", reason)
    return _answer(bench, "7")


def _replay_as(bench: Bench, id: str, reason: str = "") -> None:
    _order(bench, id, reason)
    replay_of(bench).step()
    assert not order_of(bench.letters, id).exists()


def _order(bench: Bench, id: str, reason: str = "") -> None:
    write_atomic(order_of(bench.letters, id), json.dumps({"user": "jo", "reason": reason}))


def _answer(bench: Bench, id: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(answer_to(bench.letters, id).read_text())
    assert answer["id"] == id
    return answer


def _break_the_view(bench: Bench) -> str:
    select = str(bench.one("SELECT as_select FROM system.tables WHERE name = 'agent_events_mv'"))
    statement = f"ALTER TABLE agent_events_mv MODIFY QUERY {select} AND NOT throwIf(SpanName LIKE 'poison%')"
    bench.engine.writer().command(statement)
    return select


def test_what_one_view_could_not_take_is_completed_there_and_nowhere_doubled(bench: Bench) -> None:
    select = _break_the_view(bench)
    bench.store(request(Span(1), Span(2, name="poison a")), request(Span(3, name="poison b"), Span(4)))
    assert bench.rows(_COUNTS) == [(4, 2)]
    assert _replay(bench) | {"reasons": []} == {"id": "7", "replayed": 0, "refused": 2, "reasons": [], "error": ""}
    assert bench.one(_WAITING) == 2
    bench.engine.writer().command(f"ALTER TABLE agent_events_mv MODIFY QUERY {select}")
    for table in ("otel_traces", "agent_events"):
        bench.engine.writer().command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")
    assert _replay(bench, reason="agent_events_mv")["replayed"] == 2
    assert bench.rows(_COUNTS) == [(4, 4)]
    assert bench.one(_WAITING) == 0
    assert bench.one("SELECT count() FROM dead_letters") == 2, "the record of what happened stays"
    assert _replay(bench)["replayed"] == 0
    assert bench.rows(_COUNTS) == [(4, 4)]


def test_a_whole_record_that_was_put_aside_is_stored_once(bench: Bench) -> None:
    """Even when the letter is all that its batch held, and the batch's own token is known to the engine."""
    batch = bench.batch(request(Span(1), Span(2)))
    DeadLetters(bench.engine, bench.letters, ManualClock()).add(
        batch.id, batch.payloads[0], "refused by an older release"
    )
    bench.store(request(Span(9)))
    assert _replay(bench)["replayed"] == 1
    assert _replay(bench)["replayed"] == 0
    assert bench.rows(_COUNTS) == [(3, 3)]
    assert bench.one("SELECT any(_batch) FROM otel_traces WHERE SpanId = '0000000000000001'") == batch.id


def test_what_is_still_nonsense_stays_a_letter_with_its_reason(bench: Bench) -> None:
    bench.store(b"nonsense", b"\x0a\x05\x0a\x03\xff\xff\xff")
    answer = _replay(bench)
    assert (answer["replayed"], answer["refused"]) == (0, 2)
    assert len(answer["reasons"]) == 2  # type: ignore[arg-type]
    assert bench.one(_WAITING) == 2
    assert _replay(bench, reason="no such reason")["refused"] == 0


def test_letters_in_files_are_replayed_and_removed(bench: Bench) -> None:
    writer = bench.engine.writer()
    writer.command("RENAME TABLE dead_letters TO away")
    select = _break_the_view(bench)
    bench.store(request(Span(1, name="poison")))
    assert len(list(bench.letters.glob("*.json"))) == 1
    bench.engine.writer().command("RENAME TABLE away TO dead_letters")
    bench.engine.writer().command(f"ALTER TABLE agent_events_mv MODIFY QUERY {select}")
    assert _replay(bench)["replayed"] == 1
    assert list(bench.letters.iterdir()) == [answer_to(bench.letters, "7")]
    assert bench.rows(_COUNTS) == [(1, 1)]


def test_what_an_earlier_fusebox_left_beside_the_letters_is_taken_for_none(bench: Bench) -> None:
    bench.letters.mkdir(exist_ok=True)
    (bench.letters / "replayed.json").write_text(
        '{"id": "ab", "replayed": 1, "refused": 0, "reasons": [], "error": ""}'
    )
    told: list[str] = []
    letter = bench.letters / f"{'0a' * 32}.json"
    letter.write_text("damaged")
    before = happenings.counts()["replay_unreadable"]
    _replay(bench)
    assert happenings.counts()["replay_unreadable"] == before + 1, "the letter alone"
    Damage(bench.letters.parent, ManualClock(), told.append).look()
    assert told == [f"dead_letters/{letter.name}"]


def test_a_late_replay_takes_nothing_out_of_the_ledger(bench: Bench) -> None:
    """It is kept for longer than the spans, and so a letter in a file may outlive the other spans of its batch."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7}
    batch = bench.store(request(Span(1, attributes=call)))
    letter = request(Span(2, attributes=call))
    DeadLetters(bench.engine, bench.letters, ManualClock()).add(batch.id, letter, "refused once")
    bench.engine.writer().command("ALTER TABLE otel_traces DELETE WHERE 1 SETTINGS mutations_sync = 1")
    assert _replay(bench)["replayed"] == 1
    assert bench.rows("SELECT count(), sum(input_tokens) FROM token_ledger") == [(2, 14)]


def test_an_answer_that_nobody_fetched_does_not_lie_there_for_ever(bench: Bench) -> None:
    for id, age in (("1", 4000.0), ("2", 1800.0)):
        _replay_as(bench, id)
        then = ManualClock().wall() - age
        os.utime(answer_to(bench.letters, id), (then, then))
    _replay_as(bench, "3")
    assert sorted(bench.letters.iterdir()) == [answer_to(bench.letters, "2"), answer_to(bench.letters, "3")]


def test_what_was_replayed_is_struck_out_also_where_the_engine_remembers_it_and_has_it_not(bench: Bench) -> None:
    batch = bench.batch(request(Span(1)))
    DeadLetters(bench.engine, bench.letters, ManualClock()).add(batch.id, batch.payloads[0], "refused once")
    for _ in range(2):
        assert _replay(bench)["replayed"] == 1
        assert bench.one(_WAITING) == 0
        bench.engine.writer().command("ALTER TABLE dead_letters_replayed DELETE WHERE 1 SETTINGS mutations_sync = 1")


def test_an_interrupted_replay_goes_on_where_it_was(bench: Bench) -> None:
    """Killed after the span was stored, before the letter was struck out."""
    batch = bench.batch(request(Span(1)))
    DeadLetters(bench.engine, bench.letters, ManualClock()).add(batch.id, batch.payloads[0], "refused once")
    assert _replay(bench)["replayed"] == 1
    bench.engine.writer().command("TRUNCATE TABLE dead_letters_replayed")
    assert _replay(bench)["replayed"] == 1
    assert bench.rows(_COUNTS) == [(1, 1)]


def test_a_database_that_is_away_is_part_of_the_answer(bench: Bench) -> None:
    bench.store(b"nonsense")
    bench.engine.writer().command("RENAME TABLE otel_traces TO away")
    answer = _replay(bench)
    assert (answer["replayed"], answer["refused"]) == (0, 0)
    assert "otel_traces" in str(answer["error"])
    assert bench.one(_WAITING) == 1


def test_a_damaged_order_is_told_and_put_aside(bench: Bench) -> None:
    told = happenings.counts()["replay_unreadable"]
    write_atomic(order_of(bench.letters, "7"), "[1")
    for _ in range(2):
        replay_of(bench).step()
    assert happenings.counts()["replay_unreadable"] == told + 1
    assert [file.name for file in bench.letters.iterdir()] == ["7.damaged"]


def test_an_order_that_comes_while_another_is_carried_out_has_its_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is written to in the middle of a replay; somebody else asks at that moment."""
    bench.store(b"nonsense")
    real = os.fdatasync

    def meanwhile(fd: int) -> None:
        monkeypatch.setattr("os.fdatasync", real)
        _order(bench, "8", "no such reason")
        real(fd)

    _order(bench, "7")
    monkeypatch.setattr("os.fdatasync", meanwhile)
    for _ in range(2):
        replay_of(bench).step()
    assert _answer(bench, "7")["refused"] == 1
    assert _answer(bench, "8")["refused"] == 0


def test_the_command_asks_the_running_keep(
    roles: StartRoles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path / "data"))
    assert cli.main(["collector", "replay-dead"]) == 2
    assert "fusebox up" in capsys.readouterr().err
    running = roles("keep")
    running.info("keep")
    writer = Writer(running.config.data_dir / "spool", 64 << 20)
    writer.append(b"nonsense")
    writer.close()
    assert until(lambda: cli.main(["collector", "replay-dead", "--json"]), "the letter is there and refused again") == 1
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["replayed"], answer["refused"], answer["error"]) == (0, 1, "")
    assert cli.main(["collector", "replay-dead"]) == 1
    assert "0 replayed, 1 refused again\n  the record is neither" in capsys.readouterr().out
    assert cli.main(["sql", "--csv", "SELECT time, reason, length(raw) FROM dead_letters_waiting ORDER BY time"]) == 0
    assert capsys.readouterr().out.count("the record is neither") == 1


def test_a_replay_is_on_record_before_and_after_or_not_done(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store(b"\x0a\x05\x0a\x03\xff\xff\xff", request(Span(1)))
    assert _replay(bench)["refused"] == 1
    intent, outcome = entries(bench.journal, "keep")
    assert (intent["kind"], intent["actor"], intent["subject"]) == ("replay", "user:jo", "dead_letters")
    assert (outcome["kind"], outcome["subject"], outcome["payload"]) == ("outcome", "7", {"count": 0, "refused": 1})
    monkeypatch.setattr("os.fdatasync", _no_disk)
    assert "nothing was replayed" in str(_replay(bench)["error"])


def _no_disk(_fd: int) -> None:
    raise OSError(5, "input/output error")
