"""Which stretches of a text are values, and of which type: hits of several recognisers, reconciled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from presidio_analyzer import RecognizerResult

from gateway.masking.apart import apart
from gateway.masking.escapes import bare
from gateway.masking.prefilter import Excerpt, excerpt
from gateway.masking.recognisers import Recognisers

_STRETCH: Final = 8192
_OVERLAP: Final = 1024


@dataclass(frozen=True, slots=True)
class Span:
    """A value in a text."""

    start: int
    end: int
    type: str
    score: float


def spans(text: str, recognisers: Recognisers) -> list[Span]:
    """The values in ``text``, in order. Where hits overlap their union counts, as the type of the surest one."""
    found, loose = _found(text, recognisers), apart(text)
    if loose != text:
        found += _found(loose, recognisers)
    stripped = bare(text)
    if stripped is not None:
        inside, places = _found(apart(stripped.text), recognisers), stripped.places
        found += [replace(span, start=places[span.start], end=places[span.end]) for span in inside]
    united: list[Span] = []
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if united and span.start < united[-1].end:
            united[-1] = _union(united[-1], span)
        else:
            united.append(span)
    return united


def stretches(text: str) -> Iterator[str]:
    """The text in pieces, cut at blanks where there are some. A value of up to 1,024 characters is whole in one."""
    at = 0
    while at + _STRETCH < len(text):
        end = at + _STRETCH
        last = text.rfind(" ", end - _OVERLAP, end)
        yield text[at : last if last >= 0 else end]
        first = text.rfind(" ", end - 3 * _OVERLAP, end - 2 * _OVERLAP)
        at = first + 1 if first >= 0 else end - 2 * _OVERLAP
    yield text[at:]


def _found(text: str, recognisers: Recognisers) -> list[Span]:
    looked = excerpt(text, recognisers)
    results = recognisers.find(looked.text, looked.types) if looked.places else []
    return [_in_text(result, looked) for result in results]


def _in_text(result: RecognizerResult, looked: Excerpt) -> Span:
    start = looked.back(result.start)
    return Span(start, start + result.end - result.start, result.entity_type, result.score)


def _union(one: Span, other: Span) -> Span:
    surest = max(one, other, key=lambda span: (span.score, span.end - span.start))
    return replace(surest, start=one.start, end=max(one.end, other.end))
