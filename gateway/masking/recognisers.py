"""Presidio's recognisers, chosen and bounded: what finds a value, offline and in about a millisecond.

The engine runs on a blank spaCy pipeline (a tokeniser, no model, nothing to download); pattern, checksum and context
decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import phonenumbers
import spacy
from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    Pattern,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    IbanRecognizer,
    SpacyRecognizer,
    UsSsnRecognizer,
)
from spacy.tokenizer import Tokenizer

from fusebox.errors import ConfigError
from gateway.masking.addresses import ADDRESSES, Email, Ip
from gateway.masking.names import Names
from gateway.masking.phones import SURE, Phones
from gateway.masking.secrets import FORMATS
from gateway.masking.settings import MaskingSettings

LANGUAGE: Final = "en"
_CARDS: Final = [
    Pattern(
        "16 to 19 digits",
        r"(?<!\d\.)\b(?:4\d{3}|5[0-8]\d{2}|6\d{3}|2[2-7]\d{2}|35[2-8]\d|8[12]\d{2}|9792)"
        r"(?:[- ]?\d{4}){3}(?:[- ]?\d{1,3})?\b",
        0.3,
    ),
    Pattern("American Express", r"(?<!\d\.)\b3[47]\d{2}(?:[- ]?\d{6}[- ]?\d{5}|(?:[- ]?\d{4}){2}[- ]?\d{3})\b", 0.3),
    Pattern("Diners Club", r"(?<!\d\.)\b3[0689]\d{2}(?:[- ]?\d{6}[- ]?\d{4}|(?:[- ]?\d{4}){2}[- ]?\d{2})\b", 0.3),
]
"""How the numbers of issuers begin, and how long they are: times in microseconds, devices and goods have others.

Behind a decimal point one in twenty long numbers would look like a card.
"""


class BlankEngine(SpacyNlpEngine):
    """Words in lower case and where they begin: all that context needs.

    spaCy's own tokeniser takes minutes for a hundred kilobytes of signs without a blank, so signs become blanks first.
    """

    nlp: Any
    _APART: Final = str.maketrans(dict.fromkeys("=:;,.!?|(){}[]<>\"'`", " "))

    def __init__(self) -> None:
        super().__init__(models=[{"lang_code": LANGUAGE, "model_name": "blank"}])
        blank = spacy.blank(LANGUAGE)
        blank.tokenizer = Tokenizer(blank.vocab)
        self.nlp = {LANGUAGE: blank}

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        doc = self.nlp[language].tokenizer(text.translate(self._APART))
        words, places = [token.lower_ for token in doc], [token.idx for token in doc]
        return NlpArtifacts([], doc, places, words, self, language, [])


class _Secrets(EntityRecognizer):
    """Secrets by their formats; an expression runs only where one of its hints is."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["SECRET"], supported_language=LANGUAGE, name="secret formats")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        del entities, nlp_artifacts
        lower = text.lower()
        return [
            RecognizerResult("SECRET", match.start(), match.end(), SURE)
            for each in FORMATS
            if any(hint in text or hint in lower for hint in each.hints)
            for match in each.expression.finditer(text)
        ]


class _Context(LemmaContextAwareEnhancer):
    """Presidio's context rule, asked only about results that are not sure by themselves."""

    def enhance_using_context(
        self, text: str, raw_results: list[RecognizerResult], *args: Any, **kwargs: Any
    ) -> list[RecognizerResult]:
        sure = [result for result in raw_results if result.score >= SURE]
        unsure = [result for result in raw_results if result.score < SURE]
        return sure + super().enhance_using_context(text, unsure, *args, **kwargs) if unsure else sure


class Recognisers:
    """The engine and the dictionaries.

    Raises:
        ConfigError: the model is not on disk, a region is unknown, or a name cannot be one.
    """

    def __init__(self, settings: MaskingSettings) -> None:
        unknown = set(settings.regions) - set(phonenumbers.SUPPORTED_REGIONS)
        if unknown:
            raise ConfigError(f"masking.regions: {', '.join(sorted(unknown))} is no region (ISO 3166, two letters)")
        self.names = [Names(type_, names) for type_, names in settings.names.items()]
        self.types, self.has_model = settings.types, settings.ner_model is not None
        registry = RecognizerRegistry(
            recognizers=[
                Email(patterns=ADDRESSES, supported_entity="EMAIL"),
                CreditCardRecognizer(patterns=_CARDS, supported_entity="CARD"),
                IbanRecognizer(supported_entity="IBAN"),
                UsSsnRecognizer(supported_entity="SSN"),
                Ip(supported_entity="IP"),
                Phones(supported_entity="PHONE", supported_regions=settings.regions),
                _Secrets(),
                *self.names,
                *([SpacyRecognizer()] if self.has_model else []),
            ],
            supported_languages=[LANGUAGE],
        )
        engine = _model_engine(settings.ner_model) if settings.ner_model else BlankEngine()
        self._analyzer = AnalyzerEngine(
            registry=registry,
            nlp_engine=engine,
            supported_languages=[LANGUAGE],
            default_score_threshold=0.35,
            context_aware_enhancer=_Context(context_matching_mode="whole_word"),
        )

    def find(self, text: str, types: Iterable[str]) -> list[RecognizerResult]:
        """Values of these types in a text, overlapping ones included."""
        found: list[RecognizerResult] = self._analyzer.analyze(text, LANGUAGE, entities=sorted(types))
        return found


def _model_engine(name: str) -> SpacyNlpEngine:
    if not (spacy.util.is_package(name) or Path(name).exists()):
        raise ConfigError(f"masking.ner_model: {name} is neither an installed spaCy package nor a folder; install it")
    engine = SpacyNlpEngine(models=[{"lang_code": LANGUAGE, "model_name": name}])
    engine.load()
    return engine
