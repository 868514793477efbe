"""Commands: only what an allowed key signed, unchanged and in time, is obeyed."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusebox.command import WINDOW_S, Command, Keyring, Order, Signer, agent_scope, allow_list, covers
from fusebox.errors import BadCommand

WALL = 1_760_000_000.0
SIGNER = Signer.generate()
KEYRING = Keyring.load(allow_list(SIGNER))


def order(kind: Order = Order.RESUME, **changes: object) -> Command:
    command = Command(kind, agent_scope("a"), "jo", "because", WALL, lifts=("cmd_1",))
    return replace(command, **changes)  # type: ignore[arg-type]


def test_a_signed_command_arrives_as_it_was_sent() -> None:
    command = order(Order.TRIP, reason="loop ✂", open_s=30.0, finding="fnd_1")
    assert KEYRING.verify(SIGNER.sign(command), WALL) == command


def test_a_stale_or_future_order_is_refused_but_a_kill_never_is() -> None:
    for wall in (WALL + WINDOW_S + 1, WALL - WINDOW_S - 1):
        with pytest.raises(BadCommand, match="window"):
            KEYRING.verify(SIGNER.sign(order(Order.RESUME)), wall)
        assert KEYRING.verify(SIGNER.sign(order(Order.KILL)), wall).order is Order.KILL


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(BadCommand, match="key"):
        KEYRING.verify(Signer.generate().sign(order()), WALL)


def test_a_key_that_borrows_an_allowed_key_id_is_refused() -> None:
    impostor = Signer(SIGNER.key_id, Signer.generate()._key)
    with pytest.raises(BadCommand):
        KEYRING.verify(impostor.sign(order()), WALL)


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_changed_byte_of_key_id_or_payload_is_accepted(position: int, flip: int) -> None:
    signed = SIGNER.sign(order())
    head = signed.rindex(b".")
    at = position % head
    changed = signed[:at] + bytes([signed[at] ^ flip]) + signed[at + 1 :]
    with pytest.raises(BadCommand):
        KEYRING.verify(changed, WALL)


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_one_error(junk: bytes) -> None:
    with pytest.raises(BadCommand):
        KEYRING.verify(junk, WALL)


def test_a_signature_of_another_payload_is_refused() -> None:
    one, other = SIGNER.sign(order()), SIGNER.sign(order(Order.KILL, scope="all"))
    forged = other.rpartition(b".")[0] + b"." + one.rpartition(b".")[2]
    with pytest.raises(BadCommand):
        KEYRING.verify(forged, WALL)


def test_a_signed_snapshot_is_not_a_command() -> None:
    snapshot = SIGNER.sign({"kind": "snapshot", "nonce": "n", "kills": {}})
    assert KEYRING.open(snapshot)["nonce"] == "n"
    with pytest.raises(BadCommand, match="not a Command"):
        KEYRING.verify(snapshot, WALL)


@pytest.mark.parametrize(
    "payload",
    [
        {"order": "explode"},
        {"lifts": "cmd_1"},
        {"issued_at": "soon"},
        {"issued_at": None},
        {"surprise": 1},
        {"scope": 5},
        {"scope": "everybody"},
        {"tenant": ["default"]},
        {"id": ""},
    ],
)
def test_a_signed_payload_of_the_wrong_shape_is_refused(payload: dict[str, object]) -> None:
    data = json.loads(base64.urlsafe_b64decode(SIGNER.sign(order()).split(b".")[2] + b"=="))
    with pytest.raises(BadCommand):
        KEYRING.verify(SIGNER.sign(data | payload), WALL)


def test_an_oversized_command_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadCommand, match="64 KiB"):
        KEYRING.verify(SIGNER.sign(order(reason="x" * 70_000)), WALL)


def test_a_signer_survives_its_file() -> None:
    command = order()
    assert KEYRING.verify(Signer.load(SIGNER.dump()).sign(command), WALL) == command


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"keys": []}', '{"keys": {"k": 1}}', '{"keys": {"k": {"public": "AA=="}}}']
)
def test_a_broken_key_list_is_one_error(text: str) -> None:
    with pytest.raises(ValueError):
        Keyring.load(text)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"key_id": "k", "private": "AA=="}', '{"key_id": "k", "private": 1}']
)
def test_a_broken_key_file_is_one_error(text: str) -> None:
    with pytest.raises(ValueError):
        Signer.load(text)


def test_scopes() -> None:
    assert covers("all", "a")
    assert covers("agent:a", "a")
    assert not covers("agent:a", "ab")
    assert not covers("agent:ab", "a")
