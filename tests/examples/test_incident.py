"""The incident of the demo: stopped within six comments by the shipped rules, whatever the seed; endless without."""

from pathlib import Path

import pytest

from examples.rogue_tickets.agents import BOT, HELPER
from examples.rogue_tickets.texts import ANSWERED, PLAIN, VAGUE, plain_tickets, vague_ticket
from tests.examples.rehearsal import Rehearsal
from tests.fixtures.agents import eventually

SEEDS = range(50)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loop_is_stopped_within_six_comments_and_ordinary_tickets_are_not(seed: int, tmp_path: Path) -> None:
    with Rehearsal(seed, tmp_path, bound=40).running() as rehearsal:
        # Given customers whose questions have answers
        plain = [rehearsal.write(ticket) for ticket in plain_tickets(seed, 3)]
        eventually(lambda: all(rehearsal.tickets.read(t)["label"] == ANSWERED for t in plain), what="answers")
        assert rehearsal.open_circuits() == []
        # When one writes what nobody can answer
        ticket = rehearsal.write(vague_ticket(seed))
        rehearsal.unleash(ticket)
    # Then the circuit opens early, and nothing is written after it
    assert rehearsal.open_circuits() == [HELPER]
    assert 2 <= rehearsal.tickets.written(ticket) <= 6
    assert [rehearsal.tickets.written(t) for t in plain] == [1, 1, 1]


@pytest.mark.parametrize("seed", [0, 7, 23])
def test_without_protection_only_the_bound_ends_it(seed: int, tmp_path: Path) -> None:
    with Rehearsal(seed, tmp_path, bound=120).running() as rehearsal:
        for agent in (HELPER, BOT):
            rehearsal.runtime.circuits.set_mode(agent, "observe_only", reason="twin", actor="operator:test")
        ticket = rehearsal.write(vague_ticket(seed))
        assert rehearsal.unleash(ticket) == 120
    assert rehearsal.open_circuits() == []


def test_every_ordinary_question_at_once_trips_nothing(tmp_path: Path) -> None:
    with Rehearsal(1, tmp_path, bound=40).running() as rehearsal:
        tickets = [rehearsal.write(t) for _ in range(5) for t in plain_tickets(1, len(PLAIN))]
        eventually(lambda: all(rehearsal.tickets.read(t)["label"] == ANSWERED for t in tickets), what="answers")
    assert rehearsal.open_circuits() == []
    assert {rehearsal.tickets.written(t) for t in tickets} == {1}


def test_seeds_differ_in_words_tickets_and_pace_and_repeat_themselves(tmp_path: Path) -> None:
    first, again, other = (_comments(seed, tmp_path / name) for seed, name in ((3, "a"), (3, "b"), (4, "c")))
    assert first == again
    assert first != other
    assert len(set(first)) == len(first), "the helper never says the same twice"
    assert {vague_ticket(seed)[0] for seed in SEEDS} == {title for title, _, _ in VAGUE}


def _comments(seed: int, folder: Path) -> list[str]:
    with Rehearsal(seed, folder, bound=40).running() as rehearsal:
        ticket = rehearsal.write(vague_ticket(seed))
        rehearsal.unleash(ticket)
    return [comment["text"] for comment in rehearsal.tickets.read(ticket)["comments"]]
