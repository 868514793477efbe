"""Bodies that are neither JSON nor a form, taken apart: what a system reads in them, by the names it has there.

What no two readers are sure to read alike is refused: a guard would judge one thing, and the system act on another.
"""

from __future__ import annotations

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import collapse_rfc2231_value
from http import HTTPStatus
from typing import Final
from xml.etree import ElementTree

from gateway.codec import codec_of, wide_codec_of
from gateway.denied import Denied

Part = dict[str, str]
_READ: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_XML: Final = "xml"
_YAML: Final = ("yaml", "yml")


def refused(sentence: str) -> Denied:
    """415: a body that no guard can read for certain."""
    return Denied(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unreadable_body", sentence)


def type_of(told: str) -> Message:
    """What a ``content-type`` says.

    Raises:
        Denied: 415, it says one thing twice, or names other letters than UTF-8.
    """
    head = Message()
    head["content-type"] = told
    names = [name.lower().partition("*")[0] for name, _ in head.get_params([])]
    if len(set(names)) < len(names):
        raise refused("the content-type says one thing twice; say it once")
    if str(head.get_content_charset("utf-8")) not in _READ:
        raise refused("a guard reads bodies in UTF-8 only; send it in UTF-8, with that charset or with none")
    return head


def parts_of(told: str, body: bytes) -> list[Part]:
    """What is said in the parts of a body, each by its name; nothing where it has none.

    Raises:
        Denied: 415, it cannot be read for certain.
    """
    head = type_of(told)
    kind = head.get_content_type() if told else ""
    if wide_codec_of(body) is not None:
        raise refused("the body is a text in UTF-16 or UTF-32, which no guard reads; send it in UTF-8")
    if kind.endswith(_YAML):
        raise refused("YAML says one thing in many ways, and no guard reads it for certain; send JSON")
    if kind.startswith("multipart/"):
        return list(_multipart(told, body))
    return list(_xml(body)) if kind.endswith(_XML) and not kind.startswith("image/") else []


def _multipart(told: str, body: bytes) -> Iterator[Part]:
    head = b"content-type: " + told.encode("latin-1") + b"\r\n\r\n"
    whole = BytesParser(EmailMessage, policy=policy.HTTP).parsebytes(head + body)
    for part in whole.walk():
        if part.defects:
            raise refused(
                "the parts of the body cannot be told apart for certain; send them as other clients do, or JSON"
            )
        if not part.is_multipart():
            yield from _part(part)


def _part(part: Message) -> Iterator[Part]:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    name = collapse_rfc2231_value(part.get_param("name", "", "content-disposition"))
    told = str(part.get("content-type", ""))
    if part.get_filename() is not None:  # a file goes on to the byte, if only it is none of the texts that are not read
        type_of(told)
        told = ""
    yield from parts_of(told, data) or [{name: data.decode(codec_of(data) or "latin-1")}]


def _xml(body: bytes) -> Iterator[Part]:
    if b"<!DOCTYPE" in body:
        raise refused("XML with a document type may say what stands elsewhere; send it without")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - what could be made to grow is defined in a document type
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise refused(f"the body says that it is XML, and is none: {error}") from None
    for each in root.iter():
        yield {_local(each.tag): each.text or ""}
        yield from ({_local(name): value} for name, value in each.attrib.items())
        yield {"": each.tail or ""}


def _local(name: str) -> str:
    return name.rpartition("}")[2]
