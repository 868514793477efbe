"""Memory against a model that keeps whole outcomes in a list; and what no sequence of events may do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from breakers.detectors.cycle import Cycle
from breakers.detectors.memory import CHANGED, KIN, MOVED, NEW, SAME, VARIED, Memory
from breakers.detectors.repetition import Repetition
from fusebox.fingerprint import hash64
from fusebox.records import ActionKind, Event
from tests.breakers.traffic import START, event

LENGTH = 4
FORMS = st.integers(0, 2)
STEPS = st.lists(st.tuples(FORMS, FORMS, FORMS, FORMS), max_size=40)
"""Of each step: the form of its request and the number in it, the form of its result and the number in it."""


def step(request: int, number: int, result: int, answer: int) -> Event:
    return Event(
        START, "a", ActionKind.TOOL_CALL, "op", request=hash64(f"request {request}"),
        request_exact=hash64(f"request {request} {number}"), result=hash64(f"result {result}"),
        result_exact=hash64(f"result {result} {answer}"),
    )  # fmt: skip


class Model:
    """The last outcomes, as they were said."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, int, int, int]] = []

    def recall(self, one: tuple[int, int, int, int]) -> int:
        request, number, result, answer = one
        if one in self._kept:
            return SAME
        asked = any(kept[:2] == (request, number) for kept in self._kept)
        alike = any((kept[0], kept[2]) == (request, result) for kept in self._kept)
        varied = any((kept[0], *kept[2:]) == (request, result, answer) for kept in self._kept)
        self._kept = [*self._kept, one][-LENGTH:]
        if alike:
            return MOVED if asked else VARIED if varied else KIN
        return CHANGED if asked else NEW


@given(STEPS)
def test_it_says_what_the_model_says(steps: list[tuple[int, int, int, int]]) -> None:
    memory, model = Memory(LENGTH), Model()
    for one in steps:
        assert memory.recall(step(*one)) == model.recall(one)


WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=12)


@given(st.lists(WORDS, min_size=12, max_size=40, unique=True), st.booleans())
def test_new_work_with_new_results_never_opens(words: list[str], traced: bool) -> None:
    detectors = Repetition(), Cycle()
    for number, word in enumerate(words):
        one = event(
            START + 3 * number, "work", "desk", f"{word} {word[::-1]}", f"made {word}", trace="a" * 32 if traced else ""
        )
        assert not any((found := d.observe(one)) and found.action == "open" for d in detectors)


@given(st.lists(WORDS, min_size=1, max_size=8, unique=True), st.floats(1.1, 60.0))
def test_a_round_without_news_always_opens(words: list[str], pause: float) -> None:
    detector, time = Repetition(), START
    for number in range(6 * len(words) + 8):
        time += pause * (1 + number % 7 / 3)  # as uneven as thoughts are
        word = words[number % len(words)]
        found = detector.observe(event(time, "work", "desk", word, f"found {word}", tokens=100 + 40 * number))
        if found and found.action == "open":
            return
    raise AssertionError("never opened")
