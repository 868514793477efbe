"""Phone numbers, by the rules of libphonenumber, and by the way people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import phonenumbers
from presidio_analyzer import AnalysisExplanation, RecognizerResult
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

SURE: Final = 0.85
"""From here on no context is asked for."""

_LEAST_DIGITS: Final = 7
_MOST_DIGITS: Final = 15
_CALLED: Final = [
    *("phone", "phones", "telephone", "tel", "cell", "cellphone", "mobile", "call", "calls", "called", "calling"),
    *("fax", "sms", "whatsapp", "dial", "telefon", "telefonnummer", "rufnummer", "handy", "handynummer", "mobil"),
    *("anrufen", "téléphone", "tél", "portable", "appeler", "appelez", "teléfono", "móvil", "telefono", "cellulare"),
]
"""Words that make a bare run of digits a phone number; Presidio's list has ``number``, and orders have numbers too."""


class Phones(PhoneRecognizer):
    """A number with its + is known by itself; one of a region must be written as numbers are there, or be called one.

    The library's matcher reads a text once for each region; here each candidate is read by itself, and the matcher
    is asked only how one is written, and for runs that may be two numbers.
    """

    _CANDIDATE: Final = re.compile(
        r"(?<![\w.+])(?<![0-9a-f]-)(?!(?<=, [A-Z]{2} )\d{5}-\d{4}(?!\d))"  # a ZIP code behind its state
        r"(?:\+|\()?\d(?:[ .\-/()\u00a0\u2010-\u2015]{0,3}\d){6,29}(?![\w])"
    )
    _OTHER: Final = re.compile(
        r"(?:(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])(?!\d)"
        r"|(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\1(?:19|20)\d\d(?!\d)"
        r"|(?:19|20)\d\d ?[-/\u2013] ?(?:19|20)\d\d(?!\d)"
        r"|\d\d (?:19|20)\d\d -(?:0\d|1[0-2])[0-5]\d(?!\d)"
        r"|[1-9]\d{3}(?:[ -]\d{4}){2,3})[^\d(]*"
    )
    """A date, a span of years, the end of a time as mail and git write it, a card or an IBAN."""
    _ONE: Final = re.compile(r"\S.*?(?=[ \u00a0]+(?:\(|0\d|\d{3}[.-]\d{3}[.-]\d{4}(?!\d))|$)")
    """What stands before the beginning of another number, or behind the last one."""
    _DECIMALS: Final = re.compile(r"\(?(?:0|[1-9]\d*)\.\d+(?:[ /\-]+(?:0|[1-9]\d*)\.\d+)*")
    _PREFIXED: Final = re.compile(r"\(?0\d")
    _DOUBTFUL: Final = 0.2  # an order number looks just so: only context makes it a phone number

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(_CALLED, **kwargs)

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        del entities, nlp_artifacts
        return [
            self._result(score, match.start() + start, match.start() + end)
            for match in self._CANDIDATE.finditer(text)
            for start, end, score in self._numbers(match[0])
        ]

    def _numbers(self, run: str) -> list[tuple[int, int, float]]:
        other = self._OTHER.match(run)
        if other:
            return self._within(run, [(other.end(), len(run))])
        digits = sum(c.isdigit() for c in run)
        if digits < _LEAST_DIGITS:
            return []
        regions = self._regions(run)
        its = [region for region in regions if digits <= _MOST_DIGITS and _is_phone(run, region)]
        sure = self._sure(run, its) if its else 0
        if sure >= self.SCORE:
            return [(0, len(run), sure)]
        parts = [found.span() for found in self._ONE.finditer(run)]
        several = self._within(run, parts)
        if several or sure:
            return several or [(0, len(run), sure)]
        if digits <= _MOST_DIGITS - 2 or len(parts) > 1 or self._DECIMALS.fullmatch(run):
            return []
        return sorted({(start, end, self.SCORE) for region in regions for start, end in self._written(run, region)})

    def _within(self, run: str, parts: list[tuple[int, int]]) -> list[tuple[int, int, float]]:
        """What is found in parts of a run."""
        return [
            (start + at, last + at, sure)
            for at, end in parts
            if end - at < len(run)
            for start, last, sure in self._numbers(run[at:end])
        ]

    def _sure(self, run: str, regions: Sequence[str | None]) -> float:
        """How sure, by the way it is written."""
        if run.startswith("+"):
            return SURE
        if run.isdigit() or self._DECIMALS.fullmatch(run):
            return self._DOUBTFUL
        whole = any((0, len(run)) in self._written(run, region) for region in regions)
        return self.SCORE if whole else self._DOUBTFUL

    def _written(self, run: str, region: str | None) -> list[tuple[int, int]]:
        """Numbers in groups that are usual there; behind the 0 of a region people group as they like."""
        usual = phonenumbers.Leniency.VALID if self._PREFIXED.match(run) else phonenumbers.Leniency.STRICT_GROUPING
        return [(m.start, m.end) for m in phonenumbers.PhoneNumberMatcher(run, region, leniency=usual)]

    def _regions(self, run: str) -> tuple[str | None, ...]:
        return (None,) if run.startswith("+") else tuple(self.supported_regions)

    def _result(self, score: float, start: int, end: int) -> RecognizerResult:
        told = {RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id}
        explained = AnalysisExplanation(recognizer=type(self).__name__, original_score=score)
        return RecognizerResult(self.supported_entities[0], start, end, score, explained, told)


def _is_phone(run: str, region: str | None) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(run, region)))
    except phonenumbers.NumberParseException:
        return False
