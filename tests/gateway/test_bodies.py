"""Bodies for systems are judged as the system reads them, and what nobody can read for certain goes nowhere."""

import codecs
import json

import pytest

from tests.fixtures.gateway import Provider, Running
from tests.gateway import test_bytes
from tests.gateway.test_bytes import PICTURE, Seen
from tests.gateway.test_screen import MAIL
from tests.gateway.test_tools import call
from tests.gateway.test_upstreams import code

shared, provider, guarded, seen = test_bytes.shared, test_bytes.provider, test_bytes.guarded, test_bytes.seen
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=X"
SQL = "DROP TABLE users"


def part(name: str, value: bytes, *more: str) -> bytes:
    lines = (f'Content-Disposition: form-data; name="{name}"{"".join(more[:1])}', *more[1:])
    return b"--X\r\n" + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + value + b"\r\n"


def parts(*each: bytes) -> bytes:
    return b"".join(each) + b"--X--\r\n"


def put(running: Running, body: bytes, kind: str) -> tuple[int, str]:
    response = call(running, "PUT", "/tools/tickets/7", body=body, **({"content_type": kind} if kind else {}))
    told = response.read()
    return response.status, code(told) if told else ""


NESTED = json.dumps({"payload": json.dumps({"note": "x", "sql": SQL})})


@pytest.mark.parametrize(("body", "kind"), [
    (b"sql=DROP+TABLE+users", FORM), (b"sql=DROP+TABLE+users", f"{FORM.upper()}; charset=utf-8"),
    (b"a=1&sql=SELECT%201&sql=2", FORM),
    (b"x=%21%5Bx%5D%28https%3A%2F%2Fevil.test%2Fp%29", FORM), (b"x=" + NESTED.encode().replace(b"&", b"%26"), FORM),
    (NESTED.encode(), "application/json"), (json.dumps([NESTED]).encode(), ""), (codecs.BOM_UTF8 + b'{"sql": "x"}', ""),
    (json.dumps({"payload": '{"sql": "DROP TABLE users", "sql": 1}'}).encode(), ""),
    (b'{"sql": "DROP TABLE users", "n": NaN}', "text/plain"),
    (parts(part("sql", SQL.encode())), PARTS),
    (parts(part("sql", b"RFJPUCBUQUJMRSB1c2Vycw==", "", "Content-Transfer-Encoding: base64")), PARTS),
    (parts(part("a", NESTED.encode(), "", "Content-Type: application/json")), PARTS),
    (parts(part("a", b"<sql>DROP</sql>", "", "Content-Type: text/xml")), PARTS),
    (b"<q><sql>DROP TABLE users</sql></q>", "application/xml"), (b"<q sql='DROP TABLE &#117;sers'/>", "text/xml"),
    (b"<q xmlns='urn:q'><sql>DROP</sql></q>", "application/soap+xml"),
    (b"<q><sql/>DROP TABLE users</q>", "application/xml"),
])  # fmt: skip
def test_sql_is_found_in_whatever_a_system_reads(guarded: Running, seen: Seen, body: bytes, kind: str) -> None:
    assert put(guarded, body, kind) == (403, "deny_by_filter")
    assert seen == []


@pytest.mark.parametrize(("body", "kind", "sent"), [
    (b"to=jo.doe%40acme-mail.com&n=%31", FORM, "to=%3CEMAIL_*%3E&n=1"),
    (b"jo.doe%40acme-mail.com", FORM, "%3CEMAIL_*%3E="),
    (b"user=a&password=kW83hfzQp1xVnm40", FORM, "user=a&password=%3CSECRET_*%3E"),
    (json.dumps({"p": '{ "n": 1.10, "to": "jo.doe\\u0040acme-mail.com"}'}).encode(), "",
     '{"p":"{ \\"n\\": 1.10, \\"to\\": \\"<EMAIL_*>\\"}"}'),
    (json.dumps({"p": json.dumps(['{"to":"jo.doe\\u0040acme-mail.com"}'])}).encode(), "",
     '{"p":"[\\"{\\\\\\"to\\\\\\":\\\\\\"<EMAIL_*>\\\\\\"}\\"]"}'),
    (parts(part("to", MAIL.encode())), PARTS,
     '--X\r\nContent-Disposition: form-data; name="to"\r\n\r\n<EMAIL_*>\r\n--X--\r\n'),
])  # fmt: skip
def test_a_value_is_masked_where_the_system_reads_it(
    guarded: Running, seen: Seen, body: bytes, kind: str, sent: str
) -> None:
    assert put(guarded, body, kind) == (201, "")
    before, after = sent.split("*")
    told = seen[0][1].decode()
    assert told.startswith(before)
    assert told.endswith(after)
    assert MAIL not in told


@pytest.mark.parametrize(("body", "kind"), [
    (b"a=1&b=%20&c", FORM), (b"a=Gr\xfc\xdfe&b=%fc", FORM), (b"<t a='1'>hello <b>you</b></t>", "application/xml"),
    (parts(part("purpose", b"batch"), part("file", PICTURE, '; filename="a.png"', "Content-Type: image/png")), PARTS),
    (parts(part("file", b"a: [1\n", '; filename="a.yml"', "Content-Type: application/yaml")), PARTS),
    (b"<svg>", "image/svg+xml"), (b'{"a": "{ \\"b\\": \\"\\\\u0041\\" }"}', "application/json; charset=UTF-8"),
    (PICTURE, "application/octet-stream"),
    ("Stra\xdfe".encode("latin-1"), "text/plain"), (codecs.BOM_UTF8 + b'{"a": 1}', "application/json"),
    (b"", "application/yaml"),
])  # fmt: skip
def test_what_holds_nothing_leaves_as_it_came(guarded: Running, seen: Seen, body: bytes, kind: str) -> None:
    assert put(guarded, body, kind) == (201, "")
    assert [told for _, told in seen] == [body]


@pytest.mark.parametrize(("body", "kind"), [
    (SQL.encode(), "text/plain; charset=utf-7"), (SQL.encode("utf-16"), "text/plain; charset=utf-16"),
    (b"a=1", f"{FORM}; charset=utf-8; charset=utf-16"),
    (SQL.encode("utf-16-le"), ""), (SQL.encode("utf-32"), "application/octet-stream"),
    (b"sql: x\n", "application/yaml"), (b"a: 1", "text/x-yml"),
    (b"<q>", "text/xml"), (b"<!DOCTYPE q [<!ENTITY e 'DROP'>]><q>&e;</q>", "text/xml"),
    (f"<q>{MAIL}</q>".encode(), "text/xml"),
    (b'{"a": 1}', FORM), (b"no parts", PARTS), (part("a", b"1"), PARTS),
    (parts(part("a", b"1", "", "Content-Type: text/yaml")), PARTS),
    (parts(part("f", SQL.encode("utf-16"), '; filename="f"')), PARTS),
    (parts(part("f", b"a", '; filename="f"', "Content-Type: text/plain; charset=utf-16")), PARTS),
    (parts(part("to", b"am8uZG9lQGFjbWUtbWFpbC5jb20=", "", "Content-Transfer-Encoding: base64")), PARTS),
])  # fmt: skip
def test_what_nobody_can_read_for_certain_goes_nowhere(guarded: Running, seen: Seen, body: bytes, kind: str) -> None:
    assert put(guarded, body, kind) == (415, "unreadable_body")
    assert seen == []


def test_two_fields_that_masking_makes_one_are_not_merged(guarded: Running, seen: Seen) -> None:
    assert put(guarded, json.dumps({MAIL: 1, MAIL.upper(): 2}).encode(), "") == (403, "deny_by_masking")
    assert put(guarded, json.dumps({MAIL: 1, "x": 2}).encode(), "") == (201, "")
    assert len(seen) == 1


def test_without_a_screen_nothing_is_read(running: Running, provider: Provider, seen: Seen) -> None:
    for body, kind in ((b"sql: x", "application/yaml"), (SQL.encode("utf-16"), "text/plain; charset=utf-16")):
        assert put(running, body, kind) == (201, "")
    assert len(seen) == 2
