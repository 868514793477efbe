"""What carriers post: signed, of their shape, and the same once it has arrived."""

import json

import pytest

from examples.supply_chain.agents import CarrierUpdate
from examples.supply_chain.carriers import CARRIERS, FEDEX, MAERSK, Unsigned, post, take
from fusebox.errors import BadMessage

SECRET = "shared"


def update(carrier: str, status: str = "delayed") -> CarrierUpdate:
    return CarrierUpdate(
        carrier="FedEx" if carrier == FEDEX else "Maersk", shipment="SCN-AA", status=status, date="2026-03-02",
        eta="2026-03-14", place="Suez", note="Engine repair",
    )  # fmt: skip


@pytest.mark.parametrize("status", ["delayed", "customs_hold", "in_transit"])
@pytest.mark.parametrize("carrier", [FEDEX, MAERSK])
def test_what_a_carrier_says_arrives_as_it_was_said(carrier: str, status: str) -> None:
    body, headers = post(carrier, update(carrier, status), SECRET)
    assert take(carrier, headers, body, SECRET) == update(carrier, status)


@pytest.mark.parametrize("carrier", [FEDEX, MAERSK])
def test_what_nobody_with_the_secret_sent_is_not_believed(carrier: str) -> None:
    body, headers = post(carrier, update(carrier), SECRET)
    name = CARRIERS[carrier].header
    for wrong in ({}, {name: ""}, {name: headers[name][:-1]}, {name: headers[name].upper() + "0"}, {name: "é"}):
        with pytest.raises(Unsigned):
            take(carrier, wrong, body, SECRET)
    with pytest.raises(Unsigned):
        take(carrier, headers, body.replace(b"Suez", b"Port"), SECRET)
    with pytest.raises(Unsigned):
        take(carrier, headers, body, "another")


@pytest.mark.parametrize("carrier", [FEDEX, MAERSK])
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"nonsense", json.dumps({"trackResults": [{}]}).encode()])
def test_what_is_signed_and_of_another_shape_is_refused(carrier: str, body: bytes) -> None:
    with pytest.raises(BadMessage):
        take(carrier, CARRIERS[carrier].sign(SECRET, body), body, SECRET)
