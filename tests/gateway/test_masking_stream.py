"""Masking of streams: however a value is cut into chunks, none of its halves gets out."""

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusebox.records import Decision
from gateway.masking.masker import Masker
from gateway.masking.prefilter import LONGEST_WORD
from gateway.masking.stream import LONGEST_VALUE, StreamMasker

KEYS = "\n".join("MIIEpAIBAAKCAQEA75" * 3 for _ in range(20))
TEXT = (
    "Dear Ada Lovelace, your card 4111 1111 1111 1111 and IBAN DE89 3704 0044 0532 0130 00 are on file; we wrote to "
    f"ada@example.com. Keys: ghp_{'a1B2' * 9} and\n-----BEGIN PRIVATE KEY-----\n{KEYS}\n-----END PRIVATE KEY-----\n"
    "Call +1 415 555 2671 (or 212-456-7890) from 192.168.12.4. Regards, the team, which writes a longer ending here."
)
VALUES = ("Lovelace", "4111", "3704", "ada@", "ghp_", "MIIE", "415 555", "456-7890", "192.168")


def pieces(text: str, size: int, seed: int = 0) -> Iterator[str]:
    chance = random.Random(seed)
    while text:
        cut = chance.randint(1, size)
        yield text[:cut]
        text = text[cut:]


def streamed(stream: StreamMasker, chunks: Iterator[str]) -> list[str]:
    return [*(stream.feed(chunk) for chunk in chunks), stream.end()]


@pytest.mark.parametrize("size", [1, 3, 17, 400, 10_000])
def test_a_stream_says_what_the_whole_text_would(size: int, masker: Masker) -> None:
    whole = masker.session("chat", workflow="w").mask(TEXT).value
    session = masker.session("chat", workflow="w")
    assert "".join(streamed(StreamMasker(session), pieces(TEXT, size))) == whole
    assert not any(value in whole for value in VALUES)
    assert session.counts == {"PERSON": 1, "CARD": 1, "IBAN": 1, "EMAIL": 1, "SECRET": 2, "PHONE": 2, "IP": 1}


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), size=st.integers(2, 60), before=st.integers(0, 80))
def test_however_it_is_cut(seed: int, size: int, before: int, masker: Masker) -> None:
    text = "lorem " * before + TEXT[:300]
    whole = masker.session("chat", workflow="w").mask(text).value
    stream = StreamMasker(masker.session("chat", workflow="w"))
    assert "".join(streamed(stream, pieces(text, size, seed))) == whole


def test_plain_text_flows(masker: Masker) -> None:
    stream = StreamMasker(masker.session("chat"))
    assert len(stream.feed("nothing to see here, just words " * 10)) > 200


def test_a_word_without_end_flows_too(masker: Masker) -> None:
    stream = StreamMasker(masker.session("chat"))
    out = "".join(stream.feed("QUJD" * 100) for _ in range(30))
    assert 0 < 12_000 - len(out) <= LONGEST_WORD + 500


def test_a_blocked_value_ends_the_stream_before_it(masker: Masker) -> None:
    stream = StreamMasker(masker.session("blocking"))
    out = streamed(stream, pieces("x " * 100 + "card 4111 1111 1111 1111 " + "y " * 100, 9))
    assert stream.verdict.decision is Decision.DENY
    assert "4111" not in "".join(out)
    assert "y" not in "".join(out)


def test_a_value_without_end_ends_the_stream(masker: Masker) -> None:
    stream = StreamMasker(masker.session("chat"))
    stream.feed("-----BEGIN PRIVATE KEY-----\n")
    line = "MIIEpAIBAAKCAQEA75" * 500 + "\n"
    out = "".join(stream.feed(line) for _ in range(LONGEST_VALUE // len(line) + 2))
    assert stream.verdict.decision is Decision.DENY
    assert out == ""


def test_a_failure_ends_the_stream(masker: Masker, monkeypatch: pytest.MonkeyPatch) -> None:
    session = masker.session("chat")
    monkeypatch.setattr(session, "_find", None)
    stream = StreamMasker(session)
    assert stream.feed("ada@example.com " * 20) + stream.end() == ""
    assert stream.verdict.decision is Decision.DENY


@pytest.mark.parametrize("size", [1, 3, 17, 400])
@pytest.mark.parametrize("opening", ["Dear ", '{"said": "', '{\n  "said": "', '["', "{{ x }} "])
def test_a_stream_is_restored_as_the_whole_text_is(size: int, opening: str, masker: Masker) -> None:
    session = masker.session("restoring", workflow="w")
    answer = f"{opening}<B>, a < b, {session.mask(TEXT).value} <EMAIL_AAAAAAAA> <EMA"
    restorer = session.restorer()
    assert restorer is not None
    told = [*(restorer.feed(piece) for piece in pieces(answer, size)), restorer.feed("", last=True)]
    assert "".join(told) == session.restore(answer)
    assert "ada@example.com" in "".join(told)
    assert masker.session("chat").restorer() is None


KEY = f"-----BEGIN PRIVATE KEY-----\n{KEYS}\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("answer", [{"key": KEY}, [{"key": KEY}], [KEY]], ids=["object", "objects", "texts"])
def test_values_in_json_are_written_as_json_wants_them(answer: object, indent: int | None, masker: Masker) -> None:
    session = masker.session("restoring", workflow="w")
    told = json.dumps(answer, indent=indent).replace(json.dumps(KEY)[1:-1], session.mask(KEY).value)
    assert KEY not in told
    assert json.loads(session.restore(told)) == answer


@pytest.mark.parametrize("opening", ["{{ key }} is ", "{key}: ", "[key] ", "{"])
def test_a_template_is_no_json(opening: str, masker: Masker) -> None:
    session = masker.session("restoring", workflow="w")
    assert session.restore(opening + session.mask(KEY).value) == opening + KEY
