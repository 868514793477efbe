"""Pictures pass a screen as they are; texts that are called pictures do not."""

import base64
import json
from typing import Any

import pytest

from gateway.codec import codec_of
from tests.fixtures.gateway import Provider, Running, StartGateway, whole
from tests.gateway import test_screen
from tests.gateway.test_content import ORDERS
from tests.gateway.test_ledger import CHAT, ask, attributes
from tests.gateway.test_screen import MAIL, about, said
from tests.gateway.test_slots import answered
from tests.gateway.test_tools import call, stored

shared, provider, guarded = test_screen.shared, test_screen.provider, test_screen.guarded
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256))
CARD = "4111111111111111"
SEALED = "gAAAAABpKfT-QcSEvzCA-sk-htuijYyXOskgkwbiUPYv9QJ99ZEnW-_knxF4Fi6hLYsaQWCvrYm4yo1Z"
"""As a provider seals what is to come back to it; some of it looks like a key by chance."""


def url(data: bytes, head: str = "data:image/png;base64,") -> str:
    return head + base64.b64encode(data).decode()


def sent(provider: Provider) -> str:
    return json.dumps(provider.seen[-1].body)


@pytest.mark.parametrize("value", [
    url(PICTURE), url(PICTURE * 4_000), url(PICTURE, "data:application/zip;base64,"), url(b"<svg/>"),
    url("Gr\xfc\xdfe. ".encode("latin-1") * 9),
    {"type": "base64", "media_type": "image/png", "data": url(PICTURE, "")},
    {"type": "thinking", "thinking": "hm", "signature": SEALED}, {"type": "redacted_thinking", "data": SEALED},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED},
    {"type": "web_search_result", "url": "https://a.example.com", "encrypted_content": SEALED},
    {"type": "input_audio", "input_audio": {"data": SEALED, "format": "wav"}},
], ids=[
    "picture", "long", "archive", "svg", "latin", "anthropic", "thought", "hidden", "reasoning", "found", "sound",
])  # fmt: skip
def test_a_file_in_which_nothing_is_found_leaves_as_it_came(guarded: Running, provider: Provider, value: Any) -> None:
    provider.answers = [whole("openai_chat.json")]
    assert ask(guarded, "/v1/chat/completions", {**CHAT, "messages": about([value])})[0] == 200
    assert provider.seen[-1].body["messages"][0]["content"] == [value]


@pytest.mark.parametrize("value", [
    f"data:text/plain;base64, my mail is {MAIL}", f"data:;base64,\n{MAIL}", f"data:image/png;base64,{CARD}",
    url(PICTURE) + f" and {MAIL}", url(PICTURE, f"data:image/png;name={MAIL};base64,"),
    {"type": "base64", "data": MAIL}, {"type": "base64", "data": [MAIL]},
    {"type": "base64", "data": url(PICTURE, ""), "note": MAIL},
    {"type": "thinking", "thinking": MAIL, "signature": SEALED}, {"type": "reasoning", "encrypted_content": MAIL},
    {"type": "reasoning", "encrypted_content": f"{SEALED} {MAIL}"},
])  # fmt: skip
def test_a_text_that_looks_like_a_picture_is_masked(guarded: Running, provider: Provider, value: Any) -> None:
    provider.answers = [whole("openai_chat.json")]
    assert ask(guarded, "/v1/chat/completions", {**CHAT, "messages": about([value])})[0] == 200
    assert MAIL not in sent(provider)
    assert CARD not in sent(provider)


def test_what_looks_like_a_seal_elsewhere_is_masked(guarded: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    content = [{"type": "text", "text": SEALED}, {"type": "note", "signature": SEALED}]
    assert ask(guarded, "/v1/chat/completions", {**CHAT, "messages": about(content)})[0] == 200
    assert SEALED not in sent(provider)


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-be", "utf-32", "latin-1"])
def test_a_file_that_is_a_text_is_masked_as_one(guarded: Running, provider: Provider, codec: str) -> None:
    provider.answers = [whole("openai_chat.json")]
    letter = f"Sch\xf6ne Gr\xfc\xdfe an {MAIL} und an alle, die ich vergessen habe."
    content = [{"type": "file", "file": {"file_data": url(letter.encode(codec), "data:text/plain;base64,")}}]
    assert ask(guarded, "/v1/chat/completions", {**CHAT, "messages": about(content)})[0] == 200
    head, data = provider.seen[-1].body["messages"][0]["content"][0]["file"]["file_data"].split(",")
    told = base64.b64decode(data).decode(codec)
    assert head == "data:text/plain;base64"
    assert told.startswith("Sch\xf6ne Gr\xfc\xdfe an <EMAIL_")
    assert told.endswith("> und an alle, die ich vergessen habe.")


def test_an_answer_and_a_tools_arguments_are_no_pictures_by_their_first_word(
    guarded: Running, provider: Provider
) -> None:
    provider.answers = [said(f"data:x;base64, write {MAIL}")]
    assert MAIL not in ask(guarded, "/v1/chat/completions", CHAT)[1].decode()
    provider.answers = [stored]
    assert call(guarded, "POST", "/tools/tickets/1", body={"text": f"data:;base64,\n{MAIL}"}).status == 403


@pytest.mark.parametrize("told", [f"data:;base64, {ORDERS}", url(ORDERS.encode()), {"type": "base64", "data": ORDERS}])
def test_orders_behind_the_word_data_are_scored(gateways: StartGateway, provider: Provider, told: Any) -> None:
    running = gateways("[filter]\n")
    provider.answers = [answered({"text": told})]
    assert call(running, "GET", "/tools/tickets/7").status == 200
    assert any(name.startswith("fusebox.filter.injection.") for name in attributes(running.span()[0]))


def test_marks_of_the_gateway_cannot_be_forged(guarded: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    content = [["data:image/png;base64,", "x"], "\x000\x00", url(PICTURE)]
    ask(guarded, "/v1/chat/completions", {**CHAT, "messages": about(content)})
    assert provider.seen[-1].body["messages"][0]["content"] == content


@pytest.mark.parametrize(("data", "codec"), [
    (b"plain", "utf-8"), ("Gr\xfc\xdfe".encode(), "utf-8"),
    ("Stra\xdfe".encode("latin-1"), "latin-1"), (PICTURE, None),
    ("DROP\u00ad TABLE users".encode("utf-16-le"), "utf-16-le"),
    ('{"a": "\ue000"}'.encode("utf-16-be"), "utf-16-be"),
    ("users".encode("utf-32"), "utf-32"), ("users".encode("utf-32-be"), "utf-32-be"),
])  # fmt: skip
def test_in_which_letters_bytes_are_written(data: bytes, codec: str | None) -> None:
    assert codec_of(data) == codec
