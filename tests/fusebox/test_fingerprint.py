"""Fingerprints: what varies without meaning anything does not count; what means something does."""

import json
import pickle
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from fusebox.fingerprint import (
    error_hash,
    hash64,
    is_waiting,
    normalise,
    request_hash,
    result_hash,
    text_of,
)
from fusebox.simhash import Likeness, distance, simhash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ticket 4711 is late", "Ticket 12 is  late"),
        ("Re: RE: Fwd: hello", "hello"),
        ("seen at 2026-01-02T03:04:05Z", "seen at 1999-12-31T23:59:59.123Z"),
        ("id 6f1c0a2e-7f0a-4f34-9d2e-8d6f0f3f1a11", "id 00000000-1111-2222-3333-444444444444"),
        ("commit deadbeef12", "commit 0a1b2c3d4e"),
        ('{"comment_id": 41}', '{"comment_id": 42}'),
        ("price 1,234.50", "price 7"),
    ],
)
def test_same_but_for_what_varies(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"), [("add a comment", "delete a comment"), ("order shoes", "order shirts"), ("cafe", "cafés")]
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_a_request_is_bound_to_operation_and_exact_target() -> None:
    assert request_hash("comment", "T-1", "hi") != request_hash("comment", "T-2", "hi")
    assert request_hash("comment", "T-1", "hi") != request_hash("close", "T-1", "hi")
    assert request_hash("a", "bc", "") != request_hash("ab", "c", "")


def test_no_result_is_zero_and_errors_are_told_apart_by_type_and_text() -> None:
    assert result_hash(None) == 0
    assert result_hash("") != 0
    assert error_hash("ValueError", "row 7 is bad") == error_hash("ValueError", "row 8 is bad")
    assert error_hash("ValueError", "x") != error_hash("KeyError", "x")


def test_values_of_any_kind_have_a_text() -> None:
    class Order(BaseModel):
        item: str

    loop: list[object] = []
    loop.append(loop)
    assert text_of(Order(item="x")) == '{"item": "x"}'
    assert text_of(b"caf\xe9") == "caf\ufffd"
    assert text_of({"b": 1, "a": {2}}) == '{"a": "{2}", "b": 1}'
    for odd in ({1: "a", "b": 2}, {("t", 1): 2}, loop, object()):
        assert isinstance(request_hash("op", "", odd), int)


def test_keys_in_another_order_are_the_same_request() -> None:
    assert request_hash("op", "", {"a": 1, "b": 2}) == request_hash("op", "", {"b": 2, "a": 1})


@given(st.text())
def test_any_text_has_unsigned_hashes_that_stay_the_same(text: str) -> None:
    for value in (hash64(text), simhash(text), request_hash("op", "", text)):
        assert 0 <= value < 1 << 64
    assert simhash(text) == simhash(text.replace(" ", "   "))


@given(st.text(max_size=200))
def test_what_varies_in_one_word_does_not_change_how_the_others_are_read(text: str) -> None:
    assert normalise(f"{text} 7") == f"{normalise(text)} #".strip()


@pytest.mark.parametrize(
    "state", ["running", "in_progress", "In Progress", "QUEUED", "not yet", "not_ready", "Runnıng"]
)
def test_a_state_that_waits_is_told_in_any_case(state: str) -> None:
    assert is_waiting(json.dumps({"state": state}, ensure_ascii=False))
    assert not is_waiting(json.dumps({"state": f"x{state}"}, ensure_ascii=False))
    assert not is_waiting(f"{state} {'.' * 200}")


def test_near_duplicates_are_near_and_strangers_far() -> None:
    words = [f"w{chr(97 + i)}{chr(97 + j)}" for i in range(6) for j in range(10)]
    text = " ".join(words)
    near = " ".join([*words[:-1], "other"])
    far = " ".join(reversed([f"z{w}" for w in words]))
    assert distance(simhash(text), simhash(near)) <= 8
    assert distance(simhash(text), simhash(far)) >= 16
    assert simhash("") == 0


@given(st.text(st.one_of(st.sampled_from("ab_ .,-\x1f\t\n"), st.characters())))
@example("Red green")
def test_simhash_is_charikars_sum_of_signs(text: str) -> None:
    words = re.findall(r"\w+", normalise(text))
    features = {*words, *(f"{a} {b}" for a, b in pairwise(words))}
    expected = sum(1 << b for b in range(64) if sum((hash64(f) >> b) & 1 for f in features) > len(features) / 2)
    assert simhash(text) == expected


def test_a_long_text_is_bounded() -> None:
    assert normalise("a" * 70_000) == normalise("a" * 80_000)


@pytest.mark.parametrize("text", ["a comment on ticket 12", "", "long " * 100])
def test_a_likeness_is_the_simhash_of_its_text(text: str) -> None:
    likeness = Likeness(text)
    assert pickle.loads(pickle.dumps(likeness)) == simhash(text)
    assert distance(likeness, simhash(text)) == 0
    assert bool(likeness) == bool(text)
