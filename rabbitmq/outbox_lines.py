"""Lines of an outbox file: a parcel as text with a checksum, and back. The format is in :mod:`rabbitmq.outbox_file`."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rabbitmq.broker import Message


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message that waits, and where it goes."""

    number: int
    at: float
    """When it came, seconds since the Unix epoch."""
    exchange: str
    key: str
    message: Message


def put_line(parcel: Parcel) -> bytes:
    """The line that keeps a parcel."""
    message = {**asdict(parcel.message), "body": base64.b64encode(parcel.message.body).decode("ascii")}
    return _line(
        {"put": parcel.number, "at": parcel.at, "exchange": parcel.exchange, "key": parcel.key, "message": message}
    )


def end_line(numbers: list[int]) -> bytes:
    """The line that says that parcels are dealt with."""
    return _line({"end": numbers})


def parse(data: bytes) -> tuple[list[Parcel], int]:
    """The live parcels in order, and how many lines are damaged; a torn last line is not looked at."""
    *lines, _torn = data.split(b"\n")
    records = [_record(line) for line in lines]
    return _live(record for record in records if record is not None), records.count(None)


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a line, or None when the line is damaged."""
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        found = json.loads(text)
        return {**found, "parcel": _parcel(found)} if "put" in found else dict(found)
    except (ValueError, KeyError, TypeError):  # also of base64: binascii.Error is a ValueError
        return None


def _live(records: Iterable[dict[str, Any]]) -> list[Parcel]:
    live: dict[int, Parcel] = {}
    for record in records:
        if "parcel" in record:
            live[record["put"]] = record["parcel"]
        for number in record.get("end", ()):
            live.pop(number, None)
    return list(live.values())


def _parcel(found: dict[str, Any]) -> Parcel:
    message = Message(**{**found["message"], "body": base64.b64decode(found["message"]["body"], validate=True)})
    return Parcel(found["put"], found["at"], found["exchange"], found["key"], message)
