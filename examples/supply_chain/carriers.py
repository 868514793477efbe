"""What two carriers post, and how they sign it; whatever they say becomes one :class:`CarrierUpdate`.

* FedEx, after its Advanced Integrated Visibility: ``fdx-signature`` is the HMAC-SHA256 of the body, in hex.
* Maersk, after the transport events of DCSA's Track & Trace 2.2: ``notification-signature`` is ``sha256=`` and that.

No carrier was asked: the shapes are written down from their public documentation.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from examples.supply_chain.agents import CarrierUpdate
from fusebox.errors import BadMessage

Json = dict[str, Any]
FEDEX: Final = "fedex"
MAERSK: Final = "maersk"


class Unsigned(BadMessage):
    """A webhook that nobody with the carrier's secret sent."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """How one carrier speaks."""

    header: str
    prefix: str
    read: Callable[[Json], CarrierUpdate]
    write: Callable[[CarrierUpdate], Json]

    def sign(self, secret: str, body: bytes) -> dict[str, str]:
        """The header that goes with ``body``."""
        return {self.header: self.prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def post(carrier: str, update: CarrierUpdate, secret: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a webhook, as the carrier would send it."""
    body = json.dumps(CARRIERS[carrier].write(update)).encode()
    return body, CARRIERS[carrier].sign(secret, body)


def take(carrier: str, headers: Mapping[str, str], body: bytes, secret: str) -> CarrierUpdate:
    """What a webhook says.

    Raises:
        Unsigned: its signature is missing or wrong.
        BadMessage: it is signed, and not of the carrier's shape.
    """
    spoken = CARRIERS[carrier]
    given = headers.get(spoken.header, "")
    if not hmac.compare_digest(given.encode(), spoken.sign(secret, body)[spoken.header].encode()):
        raise Unsigned(f"{spoken.header} is not {carrier}'s")
    try:
        return spoken.read(json.loads(body))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadMessage(f"this is no event of {carrier}: {error!r}") from error


_FEDEX_CODES: Final = {"DE": "delayed", "CD": "customs_hold", "IT": "in_transit", "PU": "departed"}
_MAERSK_CODES: Final = {"WEA": "delayed", "CUS": "customs_hold", "": "in_transit"}


def _read_fedex(event: Json) -> CarrierUpdate:
    found = event["trackResults"][0]
    dates = {each["type"]: each["dateTime"][:10] for each in found["dateAndTimes"]}
    status = found["latestStatusDetail"]
    return CarrierUpdate(
        carrier="FedEx", shipment=found["trackingNumberInfo"]["trackingNumber"],
        status=_FEDEX_CODES.get(status["code"], "in_transit"), date=dates["ACTUAL_TENDER"],
        eta=dates["ESTIMATED_DELIVERY"], place=status["scanLocation"]["city"], note=status["description"],
    )  # fmt: skip


def _write_fedex(update: CarrierUpdate) -> Json:
    code = next(code for code, status in _FEDEX_CODES.items() if status == update.status)
    return {
        "trackResults": [
            {
                "trackingNumberInfo": {"trackingNumber": update.shipment, "carrierCode": "FDXE"},
                "latestStatusDetail": {
                    "code": code, "description": update.note, "scanLocation": {"city": update.place},
                },
                "dateAndTimes": [
                    {"type": "ACTUAL_TENDER", "dateTime": f"{update.date}T08:00:00+00:00"},
                    {"type": "ESTIMATED_DELIVERY", "dateTime": f"{update.eta}T08:00:00+00:00"},
                ],
            }
        ]
    }  # fmt: skip


def _read_maersk(event: Json) -> CarrierUpdate:
    call = event["transportCall"]
    return CarrierUpdate(
        carrier="Maersk", shipment=event["documentReferences"][0]["documentReferenceValue"],
        status=_MAERSK_CODES.get(event.get("delayReasonCode", ""), "delayed"), date=event["eventCreatedDateTime"][:10],
        eta=event["eventDateTime"][:10], place=call["location"]["locationName"], note=event.get("changeRemark", ""),
    )  # fmt: skip


def _write_maersk(update: CarrierUpdate) -> Json:
    code = next((code for code, status in _MAERSK_CODES.items() if status == update.status), "")
    return {
        "eventType": "TRANSPORT", "eventClassifierCode": "EST", "transportEventTypeCode": "ARRI",
        "eventCreatedDateTime": f"{update.date}T08:00:00Z", "eventDateTime": f"{update.eta}T08:00:00Z",
        "delayReasonCode": code, "changeRemark": update.note,
        "documentReferences": [{"documentReferenceType": "BKG", "documentReferenceValue": update.shipment}],
        "transportCall": {"modeOfTransport": "VESSEL", "location": {"locationName": update.place}},
    }  # fmt: skip


CARRIERS: Final[Mapping[str, Carrier]] = {
    FEDEX: Carrier("fdx-signature", "", _read_fedex, _write_fedex),
    MAERSK: Carrier("notification-signature", "sha256=", _read_maersk, _write_maersk),
}
