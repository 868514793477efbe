"""Masking: what is found, what happens to it, and that nothing gets by when something breaks."""

import json
import re
import socket
from pathlib import Path

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.masking_lab import UNTOUCHED, quality
from fusebox.errors import ConfigError
from fusebox.records import Decision
from gateway.masking import MaskingSettings, RoutePolicy, Treatment
from gateway.masking.masker import Masker
from gateway.masking.placeholders import PLACEHOLDER
from tests.gateway.conftest import KEY

CARD, IBAN, SSN = "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "536-22-1234"
EMAIL, PHONE, SECRET = "ada@example.com", "+1 415 555 2671", "ghp_" + "a1B2" * 9
VALUES = {
    "CARD": [
        CARD,
        "4111111111111111",
        "4111-1111-1111-1111",
        "5555555555554444",
        "2223003122003222",
        "378282246310005",
    ],
    "IBAN": [IBAN, "DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606"],
    "EMAIL": [EMAIL, "first.last+tag@mail.example.co.uk", "x@xn--bcher-kva.example", "root@db.internal"],
    "PHONE": [PHONE, "+49 30 901820", "(212) 456-7890", "020 7946 0958", "01 42 68 53 00"],
    "IP": ["192.168.1.20", "10.0.0.0/8", "2001:db8::8a2e:370:7334", "fe80::1"],
    "SSN": [SSN, "536 22 1234", "536.22.1234"],
    "SECRET": [
        SECRET,
        "AKIAIOSFODNN7EXAMPLE",
        "sk-proj-" + "a1B2" * 8,
        "xoxb-123456789012-abcdefABCDEF",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75\nabc\n-----END RSA PRIVATE KEY-----",
    ],
    "PERSON": ["Ada Lovelace", "ADA LOVELACE", "ada\nlovelace"],
}


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, all_ in VALUES.items() for value in all_])
def test_a_value_is_replaced_whole(type_: str, value: str, masker: Masker) -> None:
    masked = masker.session("chat").mask(f"Please note {value} in the file.")
    assert re.fullmatch(rf"Please note <{type_}_[A-Z2-7]{{8}}> in the file\.", masked.value)
    assert masked.counts == {type_: 1}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgres://app:s3cretpw@db.example.com/x", "s3cretpw"),
        ('api_key = "abcd1234efgh"', "abcd1234efgh"),
        ("password: hunter2hunter2", "hunter2hunter2"),
        ("Authorization: Bearer abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz"),
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
    ],
)
def test_a_secret_is_known_by_what_stands_before_it(text: str, secret: str, masker: Masker) -> None:
    assert secret not in masker.session("chat").mask(text).value


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://203.0.113.9/99/orders", "203.0.113.9"),
        ("2001:db8::8a2e:370:7334/200", "2001:db8::8a2e:370:7334"),
        ("please push the release to 203.0.113.9", "203.0.113.9"),
    ],
    ids=["a path that is no size of a net", "no size of such a net", "a machine, and no version"],
)
def test_what_stands_beside_an_address_does_not_hide_it(text: str, address: str, masker: Masker) -> None:
    assert address not in masker.session("chat").mask(text).value


@pytest.mark.parametrize(
    "text",
    [
        "order 4111111111111112 shipped",
        "version 1.2.3 of 2026-01-02 12:30:45",
        "28.10.1974, 10/28/1974 and 1974-10-28",
        "order number 2125550187 shipped",
        "std::vector and a::b",
        "firmware v1.2.3.4",
        "id 6fa176ac-2b9d-4364-8980-0525d1df2a11",
        "password: required, token: none",
        "the Joker met joiners",
        "a < b > c, <EMAIL>",
        "price 1,234,567.89",
        *("season 2026/2027", "from 2019-2024", "pi is 3.14159265", "0.30103 0.47712 0.69897", "mean=0.123456"),
        *("lat 52.520008, lon 13.404954", "INV-2024-00017-003", "order #20240115-0042", "CVE-2024-12345678"),
        *(
            "1 234 567 890",
            "299 792 458 m/s",
            "1 2 3 4 5 6 7 8 9 10",
            "100-200-300",
            "ISSN 2049-3630",
            "arXiv:2401.12345",
        ),
        *("ISBN 0-306-40615-2", "zip 12345-6789", "EIN 98-7654321", "Smith (2019) 123-145", "OID 1.3.6.1.4.1.311"),
        *("12:30:45.123456", "build 10.0.19041.1", "Chrome/120.0.0.0 Safari/537.36", "section 3.1.2.1"),
        *("at 1760000000123456 us", "EAN 4006381333931", "device 356938035643809"),
        *("passwd = hashlib.sha256(x).hexdigest()", "api_key: ${API_KEY_V2}", "pwd=$(pwd)/dir2"),
        *("Date: Tue Dec 24 09:35:02 2013 -0800", "Boston, MA 02110-1301, USA", r"printf '\037\213\b\003\003'"),
        *("listens on 127.0.0.1:8080 and ::1", "bind 0.0.0.0", "netmask 255.255.255.0", "gettext 0.19.8.1"),
        *("Policy 4.6.0.1", "section-4.1.2.1", "erlang 24.3.4.5+dfsg-1", "west: -122.38724508752442"),
        *("password: {{ vault_db_password2 }}", "secret_key=%(secret_key2)s"),
    ],
)
def test_what_only_looks_like_a_value_stays(text: str, masker: Masker) -> None:
    assert masker.session("chat").mask(text).value == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("am 02.01.2026 030 901820 angerufen", "030 901820"),
        ("2026-01-02 (212) 456-7890", "(212) 456-7890"),
        ("order 4711 030 901820", "030 901820"),
        ("card 4111 1111 1111 1111 0176 12345678", "0176 12345678"),
        ("030 901820 0176 12345678", "0176 12345678"),
        ("212-456-7890 212-456-7891", "212-456-7890"),
        ("0176 1234 5678", "0176 1234 5678"),
        ("Handy: 017612345678", "017612345678"),
        ("Tél. 0142685300", "0142685300"),
    ],
)
def test_a_phone_number_is_seen_behind_another_number(text: str, number: str, masker: Masker) -> None:
    assert number[-5:] not in masker.session("chat").mask(text).value


def test_json_is_masked_everywhere_and_keeps_its_shape(masker: Masker) -> None:
    arguments = json.dumps({"to": EMAIL, "card": 4111111111111111})
    body = {"messages": [{"content": [{"text": CARD}, 7, None, True]}], "tool": {"arguments": arguments}, EMAIL: PHONE}
    masked = masker.session("chat").mask({**body, "n": 4111111111111111, "price": 12.5, "id": 1760000000})
    text = json.dumps(masked.value)
    assert not any(value in text for value in (EMAIL, CARD, PHONE, "4111111111111111"))
    assert masked.value["messages"][0]["content"][1:] == [7, None, True]
    assert json.loads(masked.value["tool"]["arguments"].replace(": <", ': "<').replace(">}", '>"}'))
    assert (masked.value["price"], masked.value["id"]) == (12.5, 1760000000)
    assert masked.counts == {"CARD": 3, "EMAIL": 2, "PHONE": 1}


def test_a_value_has_one_placeholder_in_a_workflow_and_another_one_in_the_next(masker: Masker) -> None:
    first = masker.session("chat", workflow="w").mask(f"{EMAIL} and {EMAIL.upper()}").value
    again = masker.session("other", workflow="w").mask(EMAIL).value
    assert first == f"{again} and {again}"
    assert masker.session("chat", workflow="x").mask(EMAIL).value != again
    assert masker.session("chat", workflow="w", tenant="t").mask(EMAIL).value != again
    assert masker.session("chat").mask(EMAIL).value != masker.session("chat").mask(EMAIL).value


def test_a_hash_is_the_same_in_every_workflow_and_is_not_restored(masker: Masker) -> None:
    session = masker.session("hashing", workflow="w")
    hashed = session.mask(EMAIL).value
    assert hashed == masker.session("hashing", workflow="x").mask(EMAIL).value
    assert re.fullmatch(r"<EMAIL:[A-Z2-7]{16}>", hashed)
    assert session.restore(hashed) == hashed


def test_an_answer_is_restored_where_the_route_allows_it_and_nowhere_else(masker: Masker) -> None:
    for route, restored in (("restoring", True), ("chat", False)):
        session = masker.session(route)
        placeholder = session.mask(f"to {EMAIL}").value.removeprefix("to ")
        answer = {"content": f"I wrote to {placeholder}; <EMAIL_AAAAAAAA> stays.", "arguments": [placeholder]}
        back = session.restore(answer)
        assert (back["arguments"] == [EMAIL]) is restored
        assert "<EMAIL_AAAAAAAA> stays" in back["content"]


def test_a_route_blocks_masks_and_allows(masker: Masker) -> None:
    session = masker.session("blocking")
    assert session.mask(f"{EMAIL} at 10.1.2.3").value == f"{session.mask(EMAIL).value} at 10.1.2.3"
    blocked = session.mask([EMAIL, CARD])
    assert (blocked.value, blocked.verdict.decision, blocked.verdict.guard) == (None, Decision.DENY, "masking")
    assert blocked.verdict.reason == "this route blocks 1 CARD"
    assert session.counts == {"EMAIL": 3, "IP": 1, "CARD": 1}


def test_a_failure_denies_and_tells_no_value(
    masker: Masker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(EMAIL)

    session = masker.session("chat")
    monkeypatch.setattr(session, "_find", fail)
    masked = session.mask(f"to {EMAIL}")
    assert masked.value is None
    assert masked.verdict.decision is Decision.DENY
    assert EMAIL not in masked.verdict.reason + caplog.text


def test_what_nests_too_deep_is_denied(masker: Masker) -> None:
    value: object = EMAIL
    for _ in range(100_000):
        value = [value]
    assert masker.session("chat").mask(value).verdict.decision is Decision.DENY


@settings(max_examples=60)
@given(
    parts=st.lists(
        st.sampled_from([*VALUES["CARD"], *VALUES["EMAIL"], IBAN, SSN, SECRET, "Jo", "and", "x,", "\n", "é"])
    )
)
def test_restoring_undoes_masking(parts: list[str], masker: Masker) -> None:
    text = " | ".join(parts)
    session = masker.session("restoring", workflow="w")
    masked = session.mask(text).value
    assert not any(value in masked for value in (*VALUES["CARD"], EMAIL, IBAN, SSN, SECRET))
    plain = re.sub(r"[\W_]", "", session.restore(masked)).casefold()
    assert plain == re.sub(r"[\W_]", "", text).casefold()
    assert len(PLACEHOLDER.findall(masked)) >= len({p for p in parts if len(p) > 3})


def test_no_network_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("masking opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert EMAIL not in Masker(MaskingSettings(), KEY).session("chat").mask(f"to {EMAIL}, {PHONE}").value


def test_a_model_finds_names_when_one_is_configured(tmp_path: Path) -> None:
    blank = spacy.blank("en")
    blank.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Grace Hopper"}])
    blank.to_disk(tmp_path / "model")
    model = Masker(MaskingSettings(ner_model=str(tmp_path / "model")), KEY)
    masked = model.session("chat").mask(f"Grace Hopper wrote to {EMAIL}")
    assert masked.counts == {"PERSON": 1, "EMAIL": 1}


def test_text_that_was_not_tuned_on_is_masked_well() -> None:
    found = quality(UNTOUCHED, 120)
    assert found.recall >= 0.98
    assert found.precision >= 0.90


def test_settings_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ValueError, match="CRAD is no type"):
        MaskingSettings(routes={"*": RoutePolicy(types={"CRAD": Treatment.BLOCK})})
    with pytest.raises(ValueError, match="would have no policy"):
        MaskingSettings(routes={"chat": RoutePolicy()})
    with pytest.raises(ConfigError, match="install it"):
        Masker(MaskingSettings(ner_model="en_core_web_nowhere"), KEY)
    with pytest.raises(ConfigError, match="XX is no region"):
        Masker(MaskingSettings(regions=("XX",)), KEY)
    with pytest.raises(ConfigError, match="at least 32 bytes"):
        Masker(MaskingSettings(), b"short")


def test_the_nearest_route_counts() -> None:
    routes = {"*": RoutePolicy(), "/v1/*": RoutePolicy(restore=True), "/v1/chat": RoutePolicy(default=Treatment.BLOCK)}
    set_ = MaskingSettings(routes=routes)
    assert set_.policy("/v1/chat").default is Treatment.BLOCK
    assert set_.policy("/v1/embeddings").restore
    assert not set_.policy("/tools/x").restore
