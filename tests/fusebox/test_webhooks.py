"""Standard Webhooks: what we send verifies elsewhere, what strangers send never raises anything unexpected."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusebox.errors import ConfigError
from fusebox.webhooks import BadWebhook, new_key_pair, new_secret, public_of, sign, signed_headers, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_614_265_330


def test_the_vector_of_the_specification() -> None:
    body = b'{"test": 2432232314}'
    assert sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", NOW, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.integers(0, 4_000_000_000))
def test_what_is_signed_verifies(body: bytes, at: int) -> None:
    secret = new_secret()
    assert verify([new_secret(), secret], signed_headers(secret, "alert_1", at, body), body, now=at) == "alert_1"


def test_header_names_are_case_insensitive_and_keys_rotate() -> None:
    old, new = new_secret(), new_secret()
    headers = {name.title(): value for name, value in signed_headers(old, "a", NOW, b"x").items()}
    headers["Webhook-Signature"] += " " + sign(new, "a", NOW, b"x")
    assert verify([new], headers, b"x", now=NOW) == "a"


@pytest.mark.parametrize("shift", [-301, 301])
def test_a_timestamp_out_of_tolerance_is_refused_in_both_directions(shift: int) -> None:
    headers = signed_headers(SECRET, "a", NOW, b"x")
    with pytest.raises(BadWebhook, match="clock"):
        verify([SECRET], headers, b"x", now=NOW + shift)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("webhook-id", "b"),
        ("webhook-id", "a.b"),
        ("webhook-id", ""),
        ("webhook-timestamp", f"{NOW}.9"),
        ("webhook-timestamp", "٣"),
        ("webhook-timestamp", str(NOW + 1)),
        ("webhook-signature", ""),
        ("webhook-signature", "garbage"),
        ("webhook-signature", "v1,ü"),
        ("webhook-signature", " ".join(["v1,x"] * 9)),
    ],
)
def test_a_changed_header_is_refused(header: str, value: str) -> None:
    headers = signed_headers(SECRET, "a", NOW, b"x") | {header: value}
    with pytest.raises(BadWebhook):
        verify([SECRET], headers, b"x", now=NOW)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()))
def test_garbage_is_refused_and_nothing_else(headers: dict[str, str]) -> None:
    with pytest.raises(BadWebhook):
        verify([SECRET], headers, b"", now=NOW)


def test_a_changed_body_or_a_foreign_key_is_refused() -> None:
    headers = signed_headers(SECRET, "a", NOW, b"x")
    for secret, body in ((SECRET, b"y"), (new_secret(), b"x")):
        with pytest.raises(BadWebhook, match="no signature fits"):
            verify([secret], headers, body, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_" + base64.b64encode(b"short").decode(), "x" * 40])
def test_a_secret_that_is_none_says_what_one_is(secret: str) -> None:
    with pytest.raises(ConfigError, match="whsec_"):
        sign(secret, "a", NOW, b"")


@given(st.binary(max_size=200), st.integers(0, 4_000_000_000))
def test_ed25519_verifies_with_the_public_key_alone(body: bytes, at: int) -> None:
    private, public = new_key_pair()
    headers = signed_headers(private, "alert_1", at, body)
    assert headers["webhook-signature"].startswith("v1a,")
    assert verify([public], headers, body, now=at) == "alert_1"
    with pytest.raises(BadWebhook, match="no signature fits"):
        verify([new_key_pair()[1]], headers, body, now=at)


def test_both_kinds_of_key_sign_one_attempt_while_receivers_move_from_one_to_the_other() -> None:
    secret, (private, public) = new_secret(), new_key_pair()
    headers = signed_headers([secret, private], "a", NOW, b"x")
    for key in (secret, public):
        assert verify([key], headers, b"x", now=NOW) == "a"


def test_a_signature_of_one_version_is_none_of_the_other() -> None:
    private, public = new_key_pair()
    headers = signed_headers(private, "a", NOW, b"x")
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1a,", "v1,")
    with pytest.raises(BadWebhook):
        verify([public], headers, b"x", now=NOW)


def test_a_private_key_is_read_with_and_without_its_public_half() -> None:
    private, public = new_key_pair()
    seed = base64.b64encode(base64.b64decode(private.removeprefix("whsk_"))[:32]).decode()
    assert public_of(private) == public_of(f"whsk_{seed}") == public
    other = base64.b64decode(new_key_pair()[0].removeprefix("whsk_"))
    mixed = base64.b64encode(base64.b64decode(seed) + other[32:]).decode()
    with pytest.raises(ConfigError, match="whsk_"):
        public_of(f"whsk_{mixed}")
