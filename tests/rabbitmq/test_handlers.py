"""Handlers: what a payload must look like, and the error when it does not."""

import pytest
from pydantic import BaseModel

from fusebox.errors import BadMessage, ConfigError
from rabbitmq.context import Context
from rabbitmq.handlers import encode, make_handler


class Comment(BaseModel):
    ticket: str
    votes: int = 0


def typed(payload: Comment, ctx: Context) -> None: ...
def raw(payload: bytes, ctx: Context) -> None: ...
def text(payload: str, ctx: Context) -> None: ...
def anything(payload, ctx):  # type: ignore[no-untyped-def]
    ...


def test_a_model_is_validated_before_the_handler_runs() -> None:
    decode = make_handler("k", typed).decode
    assert decode(b'{"ticket": "T-1"}') == Comment(ticket="T-1")
    with pytest.raises(BadMessage, match="votes"):
        decode(b'{"ticket": "T-1", "votes": "many"}')
    with pytest.raises(BadMessage):
        decode(b"not json")


def test_what_does_not_fit_is_said_in_one_line() -> None:
    decode = make_handler("k", typed).decode
    with pytest.raises(BadMessage, match=r"^message does not fit Comment: ticket: Field required$"):
        decode(b"{}")
    with pytest.raises(BadMessage, match=r"^message does not fit Comment: Invalid JSON: .*$"):
        decode(b"nonsense")


def test_bytes_and_text_come_as_they_are() -> None:
    assert make_handler("k", raw).decode(b"\xff\x00") == b"\xff\x00"
    assert make_handler("k", text).decode("é".encode()) == "é"
    with pytest.raises(BadMessage, match="UTF-8"):
        make_handler("k", text).decode(b"\xff")


def test_without_annotation_it_is_whatever_json_says() -> None:
    decode = make_handler("k", anything).decode
    assert decode(b"[1, 2]") == [1, 2]
    with pytest.raises(BadMessage, match="not JSON"):
        decode(b"{")
    with pytest.raises(BadMessage, match="not JSON"):
        decode(b"[" * 200_000)


def test_a_handler_with_the_wrong_shape_is_refused_by_name() -> None:
    def lonely(payload: object) -> None: ...

    with pytest.raises(ConfigError, match="lonely"):
        make_handler("k", lonely)


def test_payloads_are_encoded_as_their_types_say() -> None:
    assert encode(Comment(ticket="T")) == b'{"ticket":"T","votes":0}'
    assert encode({"a": 1}) == b'{"a":1}'
    assert encode("text") == b"text"
    assert encode(b"\x00") == b"\x00"
    with pytest.raises(BadMessage, match="object"):
        encode(object())
