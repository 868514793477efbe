"""Rounds of a chain: what goes round with nothing new counts, and what brings something new each time does not."""

from collections.abc import Callable
from itertools import cycle, islice

import pytest

from breakers.rounds import next_hop, rounds
from fusebox.fingerprint import exact_hash, request_hash
from fusebox.records import Lineage

Says = Callable[[int], str]
WORDS = (
    "anna",
    "bert",
    "carl",
    "dora",
    "emil",
    "fritz",
    "gerd",
    "hans",
    "ida",
    "jana",
    "karl",
    "lena",
    "mia",
    "nils",
    "olga",
    "paul",
    "quin",
    "rosa",
    "sven",
    "tina",
)


def say(lineage: Lineage, agent: str, text: str) -> Lineage:
    return (*lineage, next_hop(agent, request_hash("said", "", text), lineage, lambda: exact_hash(text)))


def talk(turns: int, **agents: Says) -> Lineage:
    """The chain after so many turns of the agents, one after the other; each is told the number of its round."""
    chain: Lineage = ()
    for number, (name, says) in enumerate(islice(cycle(agents.items()), turns)):
        chain = say(chain, name, says(number // len(agents)))
    return chain


LOOPS: dict[str, tuple[Says, Says]] = {
    "word for word": (lambda _: "turn it off and on", lambda _: "done, what now?"),
    "ids and clocks": (lambda n: f"turn it off, 12:0{n}:00", lambda n: f"ticket 4711{n} {n:032x}f0 is open"),
    "counters": (lambda n: f"comment {n}: turn it off", lambda n: f"comment {n}: done, what now?"),
    "one of them has ever other words": (lambda _: "we look into it", lambda n: f"{WORDS[n]} is still {WORDS[-n]}"),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_is_in_its_third_round_at_the_fifth_message(loop: str) -> None:
    a, b = LOOPS[loop]
    assert rounds(talk(3, a=a, b=b)) == 2, "a reply is none"
    assert rounds(talk(5, a=a, b=b)) == 3


@pytest.mark.parametrize("pages", range(2, 15))
def test_who_asks_for_the_next_page_and_gets_another_does_not_go_round(pages: int) -> None:
    chain = talk(2 * pages + 1, a=lambda n: f'{{"page": {n}}}', b=lambda n: f"{WORDS[n]}, {WORDS[n + 1]}")
    assert rounds(chain) == 2


def test_pages_that_all_say_the_same_are_no_news() -> None:
    assert rounds(talk(7, a=lambda n: f"page {n}", b=lambda n: f"row {n}: empty")) == 4


def test_who_tells_itself_the_same_goes_round() -> None:
    assert rounds(talk(3, a=lambda n: f"solve it, depth {n}")) == 3


def test_once_the_answers_repeat_it_goes_round_again() -> None:
    def asked(times: int) -> Lineage:
        return talk(2 * times - 1, a=lambda n: f"page {n}", b=lambda n: WORDS[min(n, 2)])

    assert [rounds(asked(times)) for times in (2, 3, 4, 5, 6)] == [2, 2, 2, 3, 4]
