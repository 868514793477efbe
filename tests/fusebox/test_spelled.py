"""What a person is asked to agree to reads as what it is: nothing hides in it, and no two texts read the same."""

from __future__ import annotations

import json

import pytest

from fusebox.spelled import exactly, readable, spelled

UNSEEN = [
    "\u202e",
    "\u200b",
    "\u2066",
    "\u034f",
    "\u3164",
    "\uffa0",
    "\ufe0f",
    "\u2800",
    "\u00a0",
    "\U000e0041",
    "\U000e0100",
]


@pytest.mark.parametrize("char", UNSEEN)
def test_what_cannot_be_seen_is_written_out(char: str) -> None:
    for shown in (spelled(f"pay{char}ann"), exactly(f"pay{char}ann"), readable(json.dumps([f"pay{char}ann"]))):
        assert char not in shown
        assert f"{ord(char):x}" in shown


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/orders", "/orders "),
        ("/orders", " /orders"),
        ("a\u202eb", "a\\u202eb"),
        ("\ue004\x31", "\U000e0041"),
        ("a\nb", "a\\nb"),
        ("a\u200b", '"a\\u200b"'),
        ("/orders ", '"/orders "'),
    ],
)
def test_two_texts_never_read_the_same(one: str, other: str) -> None:
    assert exactly(one) != exactly(other)


def test_what_is_plain_stays_as_it_is() -> None:
    assert exactly("POST /orders/17?of=Ünal & 東京") == "POST /orders/17?of=Ünal & 東京"


def test_arguments_are_shown_to_the_last_digit() -> None:
    text = json.dumps({"account": 2**53 + 1, "iban": 10**40 + 1, "rate": 0.1, "none": -0.0})
    assert json.loads(readable(text)) == json.loads(text)
    assert str(10**40 + 1) in readable(text)
