"""Values behind base64 or hex in the arguments of tools: no placeholder fits there, so they go nowhere."""

import base64
import gzip
import hashlib
import json
import zlib

import openai
import pytest

from gateway.dresses import texts_in
from gateway.masking.masker import Masker
from gateway.masking.spans import stretches
from tests.fixtures.gateway import Provider, Running
from tests.gateway import test_screen
from tests.gateway.test_screen import MAIL, about, chat, client
from tests.gateway.test_tools import call, stored

shared, provider, guarded = test_screen.shared, test_screen.provider, test_screen.guarded
TEXT = f"Please write to {MAIL} today.".encode()
ONCE = base64.b64encode(TEXT).decode()


@pytest.mark.parametrize(
    "told",
    [
        ONCE,
        base64.urlsafe_b64encode(TEXT).decode().rstrip("="),
        TEXT.hex(),
        TEXT.hex(" "),
        "0x" + TEXT.hex().upper(),
        base64.b64encode(ONCE.encode()).decode(),
        base64.encodebytes(TEXT * 3).decode(),
        f"x{ONCE}",
        base64.b64encode(TEXT.decode().encode("utf-16-le")).decode(),
        base64.b64encode("Grüße aus Köln, Ihre Ada Lovelace".encode()).decode(),
        base64.b64encode(b"\x00\x01" + TEXT).decode(),
        base64.b64encode(gzip.compress(TEXT)).decode(),
        zlib.compress(TEXT).hex(),
        "\u200b".join(ONCE),
        base64.b64encode(b"nothing here " * 700 + TEXT + b"nor there " * 900).decode(),
    ],
    ids=["base64", "for URLs", "hex", "hex in pairs", "HEX", "twice", "in lines", "in a word", "wide", "name", "begun"]
    + ["gzip", "zlib", "unseen letters", "far within"],
)
def test_a_value_in_an_encoding_is_refused(masker: Masker, told: str) -> None:
    verdict = masker.session("chat").encoded([f"content: {told}"])
    assert not verdict.allowed
    assert MAIL not in verdict.reason


@pytest.mark.parametrize(
    "told",
    [
        base64.b64encode(b"The parcel is late, and nobody knows why.").decode(),
        b"nothing to see".hex(),
        base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) + TEXT).decode(),
        "/usr/share/doc/python3/examples/internationalization",
        hashlib.sha256(b"x").hexdigest(),
        "ssh-ed25519 " + base64.b64encode(hashlib.sha256(b"y").digest()).decode(),
        "9f8b7c6d-1234-4abc-8def-0123456789ab",
        base64.b64encode(gzip.compress(b"nothing to see")).decode(),
        base64.b64encode(b"x\x9c is how zlib begins").decode(),
        "120, 94, 250, 300, 640, 480, 200, 210, 220, 230, 240, 250, 260",
    ],
    ids=["text", "hex", "picture", "path", "hash", "key", "id", "gzip", "no zlib", "sizes that begin as zlib does"],
)
def test_what_holds_no_value_passes(masker: Masker, told: str) -> None:
    assert masker.session("chat").encoded([told]).allowed


def test_a_small_packed_text_does_not_fill_the_memory() -> None:
    bomb = base64.b64encode(gzip.compress(b"a" * 10_000_000)).decode()
    assert sum(map(len, texts_in(bomb))) < 10 * len(bomb)


def test_stretches_of_a_text_hold_each_of_its_words_whole() -> None:
    words = [f"{at}-" + "x" * (5 * at) for at in range(200)]
    pieces = list(stretches(" ".join(words)))
    assert len(pieces) > 10
    assert all(any(word in piece.split(" ") for piece in pieces) for word in words)
    assert max(map(len, pieces)) <= 8192


def test_what_a_route_allows_may_be_encoded_and_what_it_blocks_may_not(masker: Masker) -> None:
    address, card = (base64.b64encode(b"the one is " + value).decode() for value in (b"10.1.2.3", b"4111111111111111"))
    assert masker.session("blocking").encoded([address]).allowed
    assert not masker.session("blocking").encoded([card]).allowed


def test_arguments_of_tools_with_encoded_values_go_nowhere(guarded: Running, provider: Provider) -> None:
    provider.answers = [stored]
    assert call(guarded, "POST", "/tools/tickets/1", body={"file": {"content": ONCE}}).status == 403
    assert call(guarded, "POST", "/tools/tickets/1", body={"text": json.dumps({"content": ONCE})}).status == 403
    assert not provider.seen
    provider.answers = [chat('{"content": "' + ONCE[:20], ONCE[20:] + '"}', tool=True)]
    with pytest.raises(openai.APIError, match="base64"):
        list(client(guarded).chat.completions.create(model="gpt-5-mini", messages=about("Go"), stream=True))
