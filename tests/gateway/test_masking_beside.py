"""A value is found whatever stands beside it: addresses in addresses, JSON inside a text, scripts without blanks."""

import json

import pytest

from gateway.masking.masker import Masker
from gateway.masking.stream import StreamMasker
from tests.gateway.test_masking import VALUES

FOUND = [(type_, value) for type_, values in VALUES.items() for value in values]


@pytest.mark.parametrize("around", [
    "https://shop.example.org/a/{}", "https://shop.example.org/a?v={}&w=1", "[{}]", "v={};", "'{}'", "**{}**", "_{}_",
    "号码{}。", "<b>{}</b>", "`{}`", "|{}|",
])  # fmt: skip
def test_a_value_ends_where_it_ends(masker: Masker, around: str) -> None:
    for type_, value in FOUND:
        masked = masker.session("*").mask(around.replace("{}", value)).value
        assert value not in masked, type_
        assert masked.startswith(around.partition("{}")[0]) or not around.isascii()  # whose letters an address may have


@pytest.mark.parametrize("blank", ["\n", "\t", "ü ", " "])
def test_json_inside_a_text_hides_nothing(masker: Masker, blank: str) -> None:
    for type_, value in FOUND:
        if "\n" not in value:
            text = json.dumps({"note": f"It is{blank}{value}{blank}indeed"})
            masked = masker.session("*").mask(json.dumps({"content": text})).value
            assert value not in masked, type_


@pytest.mark.parametrize(("text", "kept"), [
    ("IP:192.168.1.20", "IP:"), ("10.0.0.1:8080", ":8080"), ("http://10.0.0.1:8080/x", ":8080/x"),
    ("[2001:db8::1]:443", "]:443"), ("host:2001:db8::1", "host:"), ("user=jo@example.com", "user="),
])  # fmt: skip
def test_an_address_with_its_port_is_one(masker: Masker, text: str, kept: str) -> None:
    masked = masker.session("*").mask(text).value
    assert kept in masked
    assert "<" in masked
    assert not any(part in masked for part in ("192.168.1.20", "10.0.0.1", "db8", "jo@"))


@pytest.mark.parametrize("text", [
    "card ４１１１ １１１１ １１１１ １１１１", "card 4111\u00ad1111\u00ad1111\u00ad1111", "card 4111.1111.1111.1111",
    "4111_1111_1111_1111", "4111/1111/1111/1111", "4111\u00a01111\u00a01111\u00a01111",
    "4111\u20091111\u20091111\u20091111",
    "jo.doe＠acme-mail.com",
])  # fmt: skip
def test_letters_that_only_look_like_ours_and_signs_between_groups_hide_nothing(masker: Masker, text: str) -> None:
    masked = masker.session("*", workflow="w").mask(text).value
    assert "<CARD_" in masked or "<EMAIL_" in masked
    assert not any(part in masked for part in ("1111", "１１１１", "doe"))
    stream = StreamMasker(masker.session("*", workflow="w"))
    assert "".join(stream.feed(letter) for letter in text) + stream.end() == masked, "letter by letter, too"


@pytest.mark.parametrize("text", [
    "ada%40example.com", "%61%64%61%40example.com", "ada&#64;example.com", "ada&#x40;example.com",
    "ada\\u0040example.com",
    "ada\\x40example.com", "ada\u200b@exam\u200bple.com", "ⓐⓓⓐ@ⓔⓧⓐⓜⓟⓛⓔ.ⓒⓞⓜ", "𝐚𝐝𝐚@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.𝐜𝐨𝐦",
    "".join(chr(0xE0000 + ord(letter)) for letter in "ada@example.com"),
])  # fmt: skip
def test_an_address_in_the_escapes_of_urls_html_and_programs_is_the_same_one(masker: Masker, text: str) -> None:
    session = masker.session("*", workflow="w")
    assert session.mask(f"see /x?to={text}&n=1 now").value == session.mask("see /x?to=ada@example.com&n=1 now").value
    stream = StreamMasker(masker.session("*", workflow="w"))
    said = "".join(stream.feed(letter) for letter in f"see /x?to={text}&n=1 now") + stream.end()
    assert said == session.mask("see /x?to=ada@example.com&n=1 now").value


@pytest.mark.parametrize("text", [
    "card 4111%201111%201111%201111", "card=4111+1111+1111+1111", "4111 - 1111 - 1111 - 1111", "4111·1111·1111·1111",
    "٤١١١ ١١١١ ١١١١ ١١١١", "ada_lovelace.txt", "Ada.Lovelace", "/people/Ada%20Lovelace", "Ada-Lovelace",
    "q=Ada+Lovelace",
    "Authorization: Basic YWRhOnMzY3JldHB3", "DB_PASS=abcd1234", "Passwort: geheim12345", "api key: abcd1234efgh5678",
    "access_key=abcd1234efgh5678",
])  # fmt: skip
def test_a_value_is_found_as_forms_paths_and_settings_write_it(masker: Masker, text: str) -> None:
    masked = masker.session("*").mask(text)
    assert sum(masked.counts.values()) == 1
    assert "<" in masked.value


@pytest.mark.parametrize("text", [
    "100%25 of 4111+1111", "50%20off", "&#169; 2026", "1234 - 5678 - 1234 - 5678", "a\\u0041b", "compass: north1234",
    "token: 1234", "the Ada_Lov file", "Basic understanding is fine",
])  # fmt: skip
def test_escapes_alone_are_no_values(masker: Masker, text: str) -> None:
    assert masker.session("*").mask(text).value == text


@pytest.mark.parametrize("text", [
    "version: 1.2.3.4", "v1.2.3.4", "1.2.3.4.5", "12:30:45.123", "a::b::c", "10:20:30:40:50:60", "999.1.1.1",
    "order_4111111111111112", "\\n4111111111111112", "4111.1111.1111.1112", "1234.5678",
])  # fmt: skip
def test_what_only_looks_like_an_address_stays(masker: Masker, text: str) -> None:
    assert masker.session("*").mask(text).value == text


def test_many_values_in_one_text_are_each_replaced(masker: Masker) -> None:
    text = "Mail ada@example.com, call +49 30 901820; " * 300
    masked = masker.session("*").mask(text)
    assert masked.counts == {"EMAIL": 300, "PHONE": 300}
    assert len(set(masked.value.split("; "))) == 2, "the same all through, and an empty end"


def test_looking_twice_takes_no_time_without_end(masker: Masker) -> None:
    for text in ("_1" * 20_000, "号1" * 20_000, "\\n1" * 20_000, "a@b.c-" * 20_000, "1.1.1." * 20_000, "f:" * 40_000):
        assert masker.session("*").mask(text).verdict.allowed
