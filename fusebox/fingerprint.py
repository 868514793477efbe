"""Fingerprints: hashes by which loops are seen without storing what was said.

``request_hash`` is a 64-bit hash of the request once everything that varies without meaning anything has been
stripped: numbers, hexadecimal ids, UUIDs, dates, clocks, e-mail-like reply prefixes and runs of white space.
``simhash`` is Charikar's 64-bit SimHash (2002) over word pairs of the normalised text: near-duplicates differ in few
bits. ``result_hash`` is the same normal form of what came back, so that ``{"comment_id": 41}`` and
``{"comment_id": 42}`` are the same result: *no progress*.

Sometimes a small number is the news: ``progress: 40`` after ``progress: 30``. ``exact_hash`` of a result keeps numbers
of up to four digits and strips only what names or dates a thing; ``literal_hash`` of a request strips nothing. So a job
that moves can be told from one that hangs, and a counter that the asker counts from one that the world does.
An error's signature leaves out what the error quotes and the paths it names: those are the request's own words.
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
_NAMING: Final = re.compile(
    r"""
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # UUID
  | \b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}\b          # hexadecimal id
  | \d+(?:[:-]\d+)+(?:[tT][\d:.]+)?[zZ]?                             # dates, clocks
  | \d{5,}(?:\.\d+)?                                                # long numbers
  | (?:\b|_)(?:attempt|retry|try|revision|seq|id|no|number)\W{0,3}\d+  # counters that say what they are
    """,
    re.VERBOSE,
)
_DIGIT: Final = re.compile(r"\d")
_LAST_DIGIT: Final = re.compile(r"\d\D*\Z")
_MAY_VARY: Final = re.compile(r"[\d-]")
"""In whatever ``_VARYING`` matches there is a digit, or (a UUID of letters) a hyphen."""
_NEAR: Final = re.compile(r"\bnear '.*", re.DOTALL)
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_PATH: Final = re.compile(r"(?<!\w)/?[\w.-]+(?:/[\w.*-]+)+/?")
_WAITING: Final = re.compile(
    r"\b(?:running|pending|queued|in[ _-]?progress|processing|scheduled|starting|building|deploying|waiting|"
    r"incomplete|not[ _](?:yet|ready|finished|done|complete))\b",
    re.IGNORECASE,
)
_MAY_WAIT: Final = (
    "running", "pending", "queued", "progress", "processing", "scheduled", "starting", "building", "deploying",
    "waiting", "incomplete", "not ", "not_",
)  # fmt: skip
"""In whatever ASCII text ``_WAITING`` matches there is one of these."""
_EMPTY: Final = re.compile(
    r"\s*(?:\[\s*\]|\{\s*\}|none|null|nothing(?: found)?|not found|(?:no|0|zero) (?:results?|match(?:es)?|rows?|items?|"
    r"data|hits?|documents?|records?)(?: (?:found|returned|matched))?)?\s*[.!]?\s*",
    re.IGNORECASE,
)
_SHORT: Final = 400
_BRIEF: Final = 160
_REPLY: Final = re.compile(r"^(?:\s*(?:re|fwd?|aw)\s*:\s*)+")
_PUNCTUATION: Final = ".,;:!?()[]{}\"'"
_WORD: Final = re.compile(r"\w+")
_GAPS: Final = bytes(byte if _WORD.match(chr(byte)) else ord(" ") for byte in range(256))
"""What :data:`_WORD` takes for a gap in ASCII is a space."""
_BITS: Final = 64
_MASK: Final = (1 << _BITS) - 1


NOTHING: Final = xxhash.xxh3_64_intdigest(b"nothing")
"""The hash of every result that says there is nothing: empty, ``[]``, ``no results``."""
SILENCE: Final = xxhash.xxh3_64_intdigest(b"")
"""The exact hash of an empty result: a command that succeeded says nothing, which says nothing of what is there."""


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
    if not _MAY_VARY.search(lowered):
        return " ".join(lowered.split())
    # Word by word: most words are letters and punctuation, where nothing varies, and the pattern is what costs.
    return " ".join(
        [
            word if word.isalpha() or word.strip(_PUNCTUATION).isalpha() else _VARYING.sub("#", word)
            for word in lowered.split()
        ]
    )


def hash64(text: str) -> int:
    """Unsigned 64-bit xxHash (XXH3) of ``text``."""
    return xxhash.xxh3_64_intdigest(_utf8(text))


def _utf8(text: str) -> bytes:
    """The error handler is only named where it is needed, because naming one costs as much as the encoding."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def request_hash(operation: str, target: str, value: object) -> int:
    """Hash of a normalised request, bound to its operation and its exact target."""
    return hash64(f"{operation}\x00{target}\x00{normalise(text_of(value))}")


def result_hash(value: object) -> int:
    """Hash of a normalised result; 0 for no result, :data:`NOTHING` for one that says there is nothing."""
    if value is None:
        return 0
    text = text_of(value)
    return NOTHING if len(text) <= _SHORT and _EMPTY.fullmatch(text) else hash64(normalise(text))


def literal_hash(text: str) -> int:
    """Hash of ``text`` as it is, but for case and white space."""
    return hash64(" ".join(text[:_MAX_CHARS].lower().split()))


def exact_hash(text: str) -> int:
    """Hash of ``text`` with its small numbers, without ids, long numbers, dates and clocks.

    >>> exact_hash("progress 10 of job 4711815") == exact_hash("progress 10 of job 4711816")
    True
    >>> exact_hash("progress 10") == exact_hash("progress 11")
    False
    """
    if not _DIGIT.search(text, 0, _MAX_CHARS):
        return hash64(normalise(text))
    lowered = _REPLY.sub("", text[:_MAX_CHARS].lower())
    start, end = _numbered(lowered)
    return hash64(
        " ".join([*lowered[:start].split(), *_NAMING.sub("#", lowered[start:end]).split(), *lowered[end:].split()])
    )


def _numbered(text: str) -> tuple[int, int]:
    """Where, in a text with digits, ``_NAMING`` can match at all: the pattern is what costs, and most words have none.

    A match ends in the word of its last digit; it begins in that of its first one, or up to two before: ``no - 3``.
    """
    first, last = _DIGIT.search(text), _LAST_DIGIT.search(text)
    if not first or not last:
        return 0, 0
    before, after = text[: first.start()].rsplit(None, 3), text[last.start() :].split(None, 1)
    return len(before[0]) if len(before) > 3 else 0, len(text) - (len(after[1]) if len(after) > 1 else 0)


def error_hash(kind: str, text: str) -> int:
    """Signature of a failure: its type and its text without what it quotes, paths, numbers and ids.

    >>> a, b = "Table 'shop.order' doesn't exist", "Table 'shop.orders' doesn't exist"
    >>> error_hash("ToolError", a) == error_hash("ToolError", b)
    True
    """
    told = _PATH.sub("/", _QUOTED.sub("~", _NEAR.sub("near ~", text[:_MAX_CHARS])))
    return hash64(f"{kind}\x00{normalise(told)}")


def is_waiting(text: str) -> bool:
    """True when a (short) result says that the work it asks about goes on: ``{"state": "running"}``."""
    if not text or len(text) > _BRIEF:
        return False
    if text.isascii():
        lowered = text.lower()
        if not any([word in lowered for word in _MAY_WAIT]):  # noqa: C419 - a list is made in half the time of a generator
            return False
    return _WAITING.search(text) is not None


def simhash(text: str) -> int:
    """64-bit SimHash of the normalised text's words and word pairs; 0 when there are no words."""
    words = _words(normalise(text))
    return _majority([*map(xxhash.xxh3_64_digest, {*words, *map(b" ".join, pairwise(words))})])


def _words(text: str) -> list[bytes]:
    """What is left when all is taken for a gap that cannot be part of a word."""
    if text.isascii():
        return text.encode().translate(_GAPS).split()
    return _utf8(" ".join(_WORD.findall(text))).split()


def _majority(hashes: list[bytes]) -> int:
    """The bits that are set in more than half of ``hashes`` (of 8 bytes), counted in all 64 positions at once.

    ``planes[i]`` holds bit i of each position's count. Three numbers of one weight are added to one of that weight
    and a carry of the next, as hardware adds partial products (carry-save adder; C. S. Wallace, 1964). All hashes lie
    side by side in one long number, so a third of them is added to another third and to the rest at a time.
    """
    planes, column, count = [], int.from_bytes(b"".join(hashes), "big"), len(hashes)
    while column:
        carries = width = 0
        while count > 1:
            count = -(-count // 3)
            third = _BITS * count
            a, b, c = column & (1 << third) - 1, column >> third & (1 << third) - 1, column >> 2 * third
            odd = a ^ b
            carries |= (a & b | odd & c) << width
            column, width = odd ^ c, width + third
        planes.append(column)
        column, count = carries, width // _BITS
    return _above(planes, len(hashes) // 2)


def _above(planes: list[int], limit: int) -> int:
    """The positions whose count, spread over ``planes``, is greater than ``limit``."""
    greater, equal = 0, _MASK
    for weight in reversed(range(max(len(planes), limit.bit_length()))):
        plane = planes[weight] if weight < len(planes) else 0
        if limit >> weight & 1:
            equal &= plane
        else:
            greater |= equal & plane
            equal &= ~plane
    return greater


def distance(a: int, b: int) -> int:
    """Number of differing bits of two SimHashes (0 … 64)."""
    return ((a ^ b) & _MASK).bit_count()
