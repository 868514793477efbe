"""Fingerprints: hashes by which loops are seen without storing what was said.

``request_hash`` is a 64-bit hash of the request once everything that varies without meaning anything has been
stripped: numbers, hexadecimal ids, UUIDs, dates, clocks, e-mail-like reply prefixes and runs of white space.
``simhash`` is Charikar's 64-bit SimHash (2002) over word pairs of the normalised text: near-duplicates differ in few
bits. ``result_hash`` is the same normal form of what came back, so that ``{"comment_id": 41}`` and
``{"comment_id": 42}`` are the same result: *no progress*.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

import xxhash

_MAX_CHARS: Final = 65_536
_VARYING: Final = re.compile(
    r"""
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # UUID
  | \b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}\b          # hexadecimal id
  | [-+]?\d[\d.,:/+-]*(?:[tT][\d:.]+)?[zZ]?                         # numbers, dates, clocks
    """,
    re.VERBOSE,
)
_REPLY: Final = re.compile(r"^(?:\s*(?:re|fwd?|aw)\s*:\s*)+")
_WORD: Final = re.compile(r"\w+")
_MASK: Final = (1 << 64) - 1


def text_of(value: object) -> str:
    """The text that is fingerprinted: strings as they are, bytes decoded, pydantic models and data as sorted JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    try:
        return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # keys of several types, or data that contains itself
        return repr(value)


@lru_cache(maxsize=16)  # an action's hash and its SimHash ask for the same text
def normalise(text: str) -> str:
    """``text`` without what varies: lower case, one space, reply prefixes dropped, numbers and ids as ``#``.

    >>> normalise("Re: Re: Ticket 4711 at 12:03:59 is  LATE")
    'ticket # at # is late'
    """
    lowered = _REPLY.sub("", text[:_MAX_CHARS].lower())
    # Word by word: most words are letters only, and the pattern is what costs.
    return " ".join([word if word.isalpha() else _VARYING.sub("#", word) for word in lowered.split()])


def hash64(text: str) -> int:
    """Unsigned 64-bit xxHash (XXH3) of ``text``."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def request_hash(operation: str, target: str, value: object) -> int:
    """Hash of a normalised request, bound to its operation and its exact target."""
    return hash64(f"{operation}\x00{target}\x00{normalise(text_of(value))}")


def result_hash(value: object) -> int:
    """Hash of a normalised result; 0 for no result."""
    return 0 if value is None else hash64(normalise(text_of(value)))


def error_hash(error: BaseException) -> int:
    """Signature of a failure: its type and its normalised text."""
    return hash64(f"{type(error).__name__}\x00{normalise(str(error))}")


def simhash(text: str) -> int:
    """64-bit SimHash of the normalised text's words and word pairs; 0 when there are no words."""
    words = _WORD.findall(normalise(text))
    features = {*words, *(f"{a} {b}" for a, b in pairwise(words))}
    if not features:
        return 0
    # 64 counters side by side in one big integer: lane i counts the features whose hash has bit i set.
    lanes = 0
    for feature in features:
        lanes += _spread(hash64(feature))
    half = len(features) / 2
    return sum(1 << bit for bit in range(64) if (lanes >> (16 * bit)) & 0xFFFF > half)


def distance(a: int, b: int) -> int:
    """Number of differing bits of two SimHashes (0 … 64)."""
    return ((a ^ b) & _MASK).bit_count()


_BYTE_LANES: Final = [sum(((byte >> i) & 1) << (16 * i) for i in range(8)) for byte in range(256)]


def _spread(value: int) -> int:
    """Move bit i of a 64-bit value to bit 16·i."""
    return sum(_BYTE_LANES[(value >> (8 * i)) & 0xFF] << (128 * i) for i in range(8))
