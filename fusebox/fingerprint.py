"""Fingerprints: hashes by which loops are seen without storing what was said.

``request_hash`` is a 64-bit hash of the request once everything that varies without meaning anything has been
stripped: numbers, hexadecimal ids, UUIDs, dates, clocks, e-mail-like reply prefixes and runs of white space.
``result_hash`` is the same normal form of what came back, so that ``{"comment_id": 41}`` and ``{"comment_id": 42}``
are the same result: *no progress*. Texts that are merely alike: :mod:`fusebox.simhash`.

Sometimes a small number is the news: ``progress: 40`` after ``progress: 30``. ``exact_hash`` of a result keeps numbers
of up to four digits and strips only what names or dates a thing; ``literal_hash`` of a request strips nothing. So a job
that moves can be told from one that hangs, and a counter that the asker counts from one that the world does.
An error's signature leaves out what the error quotes and the paths it names: those are the request's own words.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final

import xxhash

_MAX_CHARS: Final = 65_536
_ID: Final = r"""
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # UUID
  | \b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}\b          # hexadecimal id
"""
_VARYING: Final = re.compile(
    _ID
    + r"""
  | [-+]?\d[\d.,:/+-]*(?:[tT][\d:.]+)?[zZ]?                         # numbers, dates, clocks
    """,
    re.VERBOSE,
)
_NAMING: Final = re.compile(
    _ID
    + r"""
  | \d+(?:[:-]\d+)+(?:[tT][\d:.]+)?[zZ]?                             # dates, clocks
  | \d{5,}(?:\.\d+)?                                                # long numbers
  | (?:\b|_)(?:attempt|retry|try|revision|seq|id|no|number)\W{0,3}\d+  # counters that say what they are
    """,
    re.VERBOSE,
)
_DIGIT: Final = re.compile(r"\d")
_MAY_VARY: Final = re.compile(r"[\d-]")
"""In whatever ``_VARYING`` matches there is a digit, or (a UUID of letters) a hyphen."""
_DIGITS: Final = bytes.maketrans(b"0123456789", b"0" * 10)
_VARIES: Final = bytes.maketrans(b"0123456789-", b"0" * 11)
"""What the two patterns match in ASCII is a ``0``."""
_NEAR: Final = re.compile(r"\bnear '.*", re.DOTALL)
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_PATH: Final = re.compile(r"(?<!\w)/?[\w.-]+(?:/[\w.*-]+)+/?")
_WAITING: Final = re.compile(
    r"\b(?:running|pending|queued|in[ _-]?progress|processing|scheduled|starting|building|deploying|waiting|"
    r"incomplete|not[ _](?:yet|ready|finished|done|complete))\b",
    re.IGNORECASE,
)
_EMPTY: Final = re.compile(
    r"\s*(?:\[\s*\]|\{\s*\}|none|null|nothing(?: found)?|not found|(?:no|0|zero) (?:results?|match(?:es)?|rows?|items?|"
    r"data|hits?|documents?|records?)(?: (?:found|returned|matched))?)?\s*[.!]?\s*",
    re.IGNORECASE,
)
_SHORT: Final = 400
_BRIEF: Final = 160
_REPLY: Final = re.compile(r"^(?:\s*(?:re|fwd?|aw)\s*:\s*)+")
_PUNCTUATION: Final = ".,;:!?()[]{}\"'"

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


@lru_cache(maxsize=16)  # an action's hashes ask for the same text
def _even(text: str) -> str:
    """``text`` in lower case with one space between its words."""
    lowered = text[:_MAX_CHARS].lower()
    if lowered.isprintable() and "  " not in lowered and lowered[:1] != " " != lowered[-1:]:
        return lowered  # of all white space only the space is printable
    return " ".join(lowered.split())


@lru_cache(maxsize=16)
def normalise(text: str) -> str:
    """``text`` without what varies: lower case, one space, reply prefixes dropped, numbers and ids as ``#``.

    >>> normalise("Re: Re: Ticket 4711 at 12:03:59 is  LATE")
    'ticket # at # is late'
    """
    even = _topic(_even(text))
    first, last = _ends(even, _VARIES, _MAY_VARY)
    if first < 0:
        return even
    start, end = even.rfind(" ", 0, first) + 1, even.find(" ", last)
    end = len(even) if end < 0 else end
    # Word by word: most words are letters and punctuation, where nothing varies, and the pattern is what costs.
    words = [
        word if word.isalpha() or word.strip(_PUNCTUATION).isalpha() else _VARYING.sub("#", word)
        for word in even[start:end].split(" ")
    ]
    return f"{even[:start]}{' '.join(words)}{even[end:]}"


def _topic(text: str) -> str:
    """``text`` without the prefixes of replies."""
    reply = _REPLY.match(text)
    return text[reply.end() :] if reply else text


def _ends(text: str, marks: bytes, pattern: re.Pattern[str]) -> tuple[int, int]:
    """Where the first and the last character are that ``pattern`` matches (in ASCII: that ``marks`` makes a ``0``), or
    -1: looking through a text with a pattern takes many times as long."""
    if text.isascii():
        marked = text.encode().translate(marks)
        return marked.find(b"0"), marked.rfind(b"0")
    found = [match.start() for match in pattern.finditer(text)] or [-1]
    return found[0], found[-1]


def hash64(text: str) -> int:
    """Unsigned 64-bit xxHash (XXH3) of ``text``."""
    return xxhash.xxh3_64_intdigest(utf8(text))


def utf8(text: str) -> bytes:
    """As bytes. The error handler is only named where it is needed: naming one costs as much as the encoding."""
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
    return hash64(_even(text))


def exact_hash(text: str) -> int:
    """Hash of ``text`` with its small numbers, without ids, long numbers, dates and clocks.

    >>> exact_hash("progress 10 of job 4711815") == exact_hash("progress 10 of job 4711816")
    True
    >>> exact_hash("progress 10") == exact_hash("progress 11")
    False
    """
    lowered = _topic(text[:_MAX_CHARS].lower())
    first, last = _ends(lowered, _DIGITS, _DIGIT)
    if first < 0:
        return hash64(normalise(text))
    start, end = _numbered(lowered, first, last)
    return hash64(
        " ".join([*lowered[:start].split(), *_NAMING.sub("#", lowered[start:end]).split(), *lowered[end:].split()])
    )


def _numbered(text: str, first: int, last: int) -> tuple[int, int]:
    """Where, in a text with digits, ``_NAMING`` can match at all: the pattern is what costs, and most words have none.

    A match ends in the word of its last digit; it begins in that of its first one, or up to two before: ``no - 3``.
    """
    before, after = text[:first].rsplit(None, 3), text[last:].split(None, 1)
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
    if text.isascii() and not _may_wait(text.lower()):
        return False
    return _WAITING.search(text) is not None


def _may_wait(t: str) -> bool:
    """Whatever ASCII text ``_WAITING`` matches has one of these. (A loop over them takes four times as long.)"""
    return (
        "running" in t or "pending" in t or "queued" in t or "progress" in t or "processing" in t or "scheduled" in t
        or "starting" in t or "building" in t or "deploying" in t or "waiting" in t or "incomplete" in t
        or "not " in t or "not_" in t
    )  # fmt: skip
