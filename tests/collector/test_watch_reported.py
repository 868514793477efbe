"""Kills that hold in agent processes and that watch does not know: shown, and lifted by a person."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from breakers.latch import Latch
from collector.tokens import Tokens
from collector.watch.noted import Noted
from fusebox import happenings
from fusebox.cli import main
from fusebox.clock import ManualClock, SystemClock
from fusebox.command import Command, Keyring, Order, Signer
from fusebox.config import Config
from fusebox.control import ControlClient, ControlRefused
from fusebox.stream import CommandStream
from rabbitmq import Agent, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.node import PrivateNode
from rabbitmq.untold import MAX_KILLS
from tests.fixtures.collector import until
from tests.fixtures.store import RedisServer
from tests.fixtures.watch import FakeProcess, Harness

BOT = "bot"
KILL = "cmd_00000000000000aa"
Start = Callable[..., Runtime]
Process = Callable[..., FakeProcess]


@pytest.fixture
def start(tmp_path: Path, harness: Harness) -> Iterator[Start]:
    """``start(latch)`` is an agent process on another machine, which has this latch file from before."""
    made: list[Runtime] = []

    def run(latch: bytes, *, agent: str = BOT) -> Runtime:
        folder = tmp_path / f"machine-{len(made)}"
        (folder / "latch").mkdir(parents=True)
        (folder / "latch" / "agents.jsonl").write_bytes(latch)
        data, token = harness.config.data_dir, (harness.config.data_dir / "agent.token").read_text().strip()
        config = Config(
            data_dir=folder, control_url=harness.watch.url, command_keys=data / "command_keys.json", agent_token=token,
        )  # type: ignore[arg-type]  # fmt: skip
        made.append(Runtime.from_config(config, name="test"))
        made[-1].start()
        Agent(agent, made[-1]).start()
        return made[-1]

    yield run
    for runtime in made:
        runtime.stop(5)


@pytest.fixture
def of_before(tmp_path: Path) -> bytes:
    """The latch file of a machine where the bot was killed before watch was restored from an older backup."""
    return latch_with(tmp_path / "before.jsonl", {KILL: f"agent:{BOT}"})


def latch_with(path: Path, kills: dict[str, str]) -> bytes:
    latch = Latch(path)
    for id, scope in kills.items():
        latch.kill(id, scope, reason="writes nonsense")
    return path.read_bytes()


def reported(harness: Harness) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = harness.operator().board()["reported"]
    return found


def says(harness: Harness, process: str, *agents: str, token: str | None = None, **more: Any) -> dict[str, Any]:
    """One poll of a process that says what it likes."""
    body = {"process": process, "cursor": 0, "agents": {agent: {"held": 0} for agent in agents}, **more}
    return harness.agent(token).send("poll", body)


def test_a_kill_from_before_an_older_backup_is_shown_without_stopping_anybody_and_a_resume_lifts_it(
    harness: Harness,
    start: Start,
    of_before: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = happenings.counts()["kills_reported"]
    bot = start(of_before)
    (seen,) = until(lambda: reported(harness), "the process says so")
    assert seen == {"process": bot.link.process, "kills": [{"id": KILL, "scope": f"agent:{BOT}"}], "more": 0}
    assert happenings.counts()["kills_reported"] == before + 1
    shown = harness.tile(BOT)
    assert shown
    assert (shown["state"], shown["killed_in"]) == ("closed", [bot.link.process])
    assert harness.operator().board()["latches"] == [], "an agent's word is no order"
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(harness.config.data_dir))
    main(["status", "--json"])
    assert json.loads(capsys.readouterr().out)["kills_unknown_to_watch"] == [
        f"agent:{BOT} in {bot.link.process} ({KILL})"
    ]

    assert harness.operator().resume(f"agent:{BOT}", "long over")["lifted"] == [f"agent:{BOT} {KILL}"]
    until(lambda: bot.latch.killed(BOT) is None, "it runs again")
    (entry,) = harness.journal("resume")
    assert entry["payload"]["command"]["lifts"] == [f"agent:{BOT} {KILL}"]
    until(lambda: not reported(harness), "nothing is left to tell")


def test_a_damaged_line_stops_a_process_until_all_is_resumed(harness: Harness, start: Start) -> None:
    bot = start(b"garbage\n")
    (seen,) = until(lambda: reported(harness), "the process says so")
    (kill,) = seen["kills"]
    assert (kill["id"].startswith("damaged-"), kill["scope"]) == (True, "all")
    with pytest.raises(ControlRefused, match="other kills") as caught:
        harness.operator().resume(f"agent:{BOT}", "it is not damaged")
    assert caught.value.status == 409
    harness.operator().resume("all", "the line was a cosmic ray")
    until(lambda: bot.latch.killed(BOT) is None, "it runs again")


def test_a_process_that_was_away_hears_of_the_lift_when_it_comes(
    harness: Harness, start: Start, of_before: bytes
) -> None:
    start(of_before)
    until(lambda: reported(harness), "the first says so")
    harness.operator().resume(f"agent:{BOT}", "long over")
    late = start(of_before)
    until(lambda: late.latch.killed(BOT) is None, "the other runs again")
    until(lambda: not reported(harness), "nothing is left to tell")


def test_a_process_holding_a_kill_that_was_lifted_a_thousand_lifts_ago_is_freed(
    harness: Harness, start: Start, of_before: bytes
) -> None:
    harness.stop()
    Latch(harness.config.data_dir / "latch" / "watch.jsonl").lift([KILL, *(f"cmd_f{n:015x}" for n in range(1_001))])
    harness.start()
    late = start(of_before)
    until(lambda: late.latch.killed(BOT) is None, "it runs again")


def test_who_claims_the_kill_of_another_frees_nobody_but_itself(harness: Harness, start: Start, tmp_path: Path) -> None:
    victim = start(latch_with(tmp_path / "v.jsonl", {KILL: "agent:victim"}), agent="victim")
    until(lambda: reported(harness), "the victim says so")
    says(harness, "liar", "liar", kills={KILL: "agent:liar"})
    harness.operator().resume("agent:liar", "it asked nicely")
    harness.operator().kill("agent:third", "the last word")
    until(lambda: victim.latch.killed("third"), "the victim has heard everything")
    assert victim.latch.killed("victim")


def test_a_process_reports_nothing_of_agents_that_it_does_not_run(harness: Harness) -> None:
    for scope in (f"agent:{BOT}", "tenant:another"):
        with pytest.raises(ControlRefused, match="its own agents") as caught:
            says(harness, "liar", "liar", kills={KILL: scope})
        assert caught.value.status == 403
    assert reported(harness) == []


def test_a_reported_kill_of_a_high_risk_agent_takes_two_people(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "agents.toml").write_text(f'[agents.{BOT}]\nowner = "jo"\nrisk = "high"\n')
    harness.restart()
    says(harness, "p1", BOT, kills={KILL: f"agent:{BOT}"})
    with pytest.raises(ControlRefused, match="second operator"):
        harness.operator().resume(f"agent:{BOT}", "alone")
    operators = Tokens(harness.config.data_dir / "operators.json")
    jo = ControlClient(harness.watch.url, operators.add("jo"))
    assert jo.resume(f"agent:{BOT}", "together", second_token=operators.add("ann"))["lifted"]


def test_what_watch_ordered_or_lifted_itself_is_not_shown_as_unknown(harness: Harness) -> None:
    kill = harness.operator().kill(f"agent:{BOT}", "x")["kill"]
    says(harness, "p1", BOT, kills={kill: f"agent:{BOT}"})
    assert reported(harness) == []
    harness.operator().resume(f"agent:{BOT}", "y")
    assert reported(harness) == [], "the process has not heard yet; its Receipt is due"


def test_one_who_reports_many_kills_does_not_crowd_out_the_others(harness: Harness) -> None:
    tokens = Tokens(harness.config.data_dir / "principals.json")
    noisy = tokens.add("noisy", ["noisy"])
    for number in range(3):
        kills = {f"cmd_{number}{n:015x}": "all" for n in range(MAX_KILLS)}
        says(harness, f"a-{number}", "noisy", token=noisy, kills=kills, more=7)
    says(harness, "z", BOT, kills={KILL: "all"})
    assert [each["more"] for each in reported(harness)] == [7, 7, 7, 0]
    lifted = harness.operator().resume("all", "whatever it is")["lifted"]
    assert f"all {KILL}" in lifted
    assert len(lifted) == 100


def test_what_many_processes_report_is_one_line_a_minute_and_each_kill_is_counted() -> None:
    before, clock = happenings.counts()["kills_reported"], ManualClock()
    noted = Noted(clock)
    for number in range(100):
        noted.add(f"p-{number}", [f"tool:x {number}", "all y"])
    assert happenings.counts()["kills_reported"] == before + 2, "the first at once"
    clock.advance(61)
    noted.tell()
    noted.tell()
    assert happenings.counts()["kills_reported"] == before + 200


def test_names_of_any_length_keep_no_resume_from_being_obeyed(harness: Harness, process: Process) -> None:
    for number in range(3):
        kills = {f"cmd_{number}{n:035x}": f"tool:{chr(0x1F600) * 128}" for n in range(MAX_KILLS)}
        says(harness, f"a-{number}", BOT, kills=kills)
    listener = process("listener", BOT)
    lifted = harness.operator().resume("all", "whatever it is")["lifted"]
    assert lifted
    until(lambda: [each.lifts for each in listener.obeyed] == [tuple(lifted)], "the Command is obeyed")


def test_over_the_broker_alone_a_reported_kill_is_lifted_too(
    watch_config: Config, rabbitmq_node: PrivateNode, tmp_path: Path, of_before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitmq.carriers.POLL_WAIT_S", 0.2)
    monkeypatch.setattr("rabbitmq.carriers.SNAPSHOT_S", 0.2)
    harness = Harness(watch_config.model_copy(update={"amqp_url": SecretStr(rabbitmq_node.url)}), SystemClock()).start()
    (tmp_path / "far" / "latch").mkdir(parents=True)
    (tmp_path / "far" / "latch" / "agents.jsonl").write_bytes(of_before)
    token = SecretStr((harness.config.data_dir / "agent.token").read_text().strip())
    keys = harness.config.data_dir / "command_keys.json"
    config = Config(data_dir=tmp_path / "far", command_keys=keys, agent_token=token)
    runtime = Runtime.from_config(config, broker=AmqpBroker(rabbitmq_node.url), name=BOT)
    try:
        runtime.start()
        Agent(BOT, runtime).start()
        until(lambda: reported(harness), "the process says so")
        harness.operator().resume(f"agent:{BOT}", "long over")
        until(lambda: runtime.latch.killed(BOT) is None, "it runs again")
        until(lambda: not reported(harness), "nothing is left to tell")
    finally:
        runtime.stop(5)
        harness.close()


def test_a_resume_takes_a_reported_kill_out_of_the_redis_stream_and_none_of_another_scope(
    watch_config: Config, redis_server: RedisServer
) -> None:
    harness = Harness(watch_config.model_copy(update={"redis_url": SecretStr(redis_server.url)}), SystemClock()).start()
    stream, keyring = CommandStream(redis_server.url, "default"), harness.keyring
    signer = Signer.load((harness.config.data_dir / "command.key").read_text())
    for id, scope in {KILL: f"agent:{BOT}", "cmd_00000000000000bb": "agent:victim"}.items():
        kill = Command(Order.KILL, scope, "jo", "before the backup", time.time(), id=id)
        stream.append(signer.sign(kill), kill)
    try:
        says(harness, "p1", BOT, kills={KILL: f"agent:{BOT}", "cmd_00000000000000bb": f"agent:{BOT}"})
        harness.operator().resume(f"agent:{BOT}", "long over")
        harness.operator().kill("agent:third", "the last word")
        until(lambda: "agent:third" in _scopes(redis_server.url, keyring), "all is there")
        left = _scopes(redis_server.url, keyring)
        assert left == ["agent:victim", f"agent:{BOT}", "agent:third"], "the kill, then the resume, then the last word"
    finally:
        harness.close()


def _scopes(url: str, keyring: Keyring) -> list[str]:
    stream = CommandStream(url, "default")
    found = [keyring.verify(signed, time.time()).scope for signed in stream.read()]
    stream.close()
    return found
