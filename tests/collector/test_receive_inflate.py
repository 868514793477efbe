"""Content encodings: whatever is sent, the result is the whole body or a refusal."""

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.receive.inflate import MAX_BODY, inflate
from collector.receive.refusal import Refusal, Why


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_gzip_of_any_number_of_members_is_read_whole(parts: list[bytes]) -> None:
    assert inflate(b"".join(map(gzip.compress, parts)), "gzip") == b"".join(parts)


@given(st.binary())
def test_both_kinds_of_deflate_are_read(data: bytes) -> None:
    raw = zlib.compressobj(wbits=-15)
    assert inflate(zlib.compress(data), "Deflate ") == data
    assert inflate(raw.compress(data) + raw.flush(), "deflate") == data
    assert inflate(data, "identity") == inflate(data, "") == data


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_garbage_is_refused_not_raised(data: bytes, encoding: str) -> None:
    with contextlib.suppress(Refusal):
        inflate(data, encoding)


def test_padding_behind_gzip_is_fine() -> None:
    assert inflate(gzip.compress(b"data", mtime=0) + bytes(512), "gzip") == b"data"


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(b"data" * 99, mtime=0)[:-9], "gzip", Why.MALFORMED),
        (gzip.compress(b"data", mtime=0) + b"trailing", "gzip", Why.MALFORMED),
        (zlib.compress(b"data") + b"trailing", "deflate", Why.MALFORMED),
        (gzip.compress(b"", mtime=0) * 1000, "gzip", Why.MALFORMED),
        (gzip.compress(bytes(MAX_BODY + 1)), "gzip", Why.TOO_LARGE),
        (gzip.compress(bytes(MAX_BODY)) + gzip.compress(b"x", mtime=0), "gzip", Why.TOO_LARGE),
        (b"", "br", Why.UNSUPPORTED),
    ],
)
def test_refusals(body: bytes, encoding: str, why: Why) -> None:
    with pytest.raises(Refusal) as refused:
        inflate(body, encoding)
    assert refused.value.why is why


def test_exactly_the_cap_is_allowed() -> None:
    assert len(inflate(gzip.compress(bytes(MAX_BODY)), "gzip")) == MAX_BODY
