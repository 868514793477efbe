"""Presidio's recognisers, chosen and bounded: what finds a value, offline and in about a millisecond.

The engine runs on a blank spaCy pipeline (a tokeniser, no model, nothing to download); pattern, checksum and context
decide. Presidio's own e-mail recogniser asks a suffix list that is fetched at first use: ours reads the copy that
comes with the library.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import phonenumbers
import spacy
import tldextract
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
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    SpacyRecognizer,
    UsSsnRecognizer,
)
from spacy.tokenizer import Tokenizer

from fusebox.errors import ConfigError
from gateway.masking.phones import SURE, Phones
from gateway.masking.secrets import FORMATS
from gateway.masking.settings import MaskingSettings

LANGUAGE: Final = "en"
WORD: Final = re.compile(r"[^\W_]+")
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
_LETTER: Final = r"[\w.+%'\-]"
_DOMAIN: Final = r"\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+\b"
_ADDRESSES: Final = [Pattern("address", rf"(?<!{_LETTER})[.+%'\-]*\K\w{_LETTER}*@{_DOMAIN}", 0.5)]
_DOMAINS: Final = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


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


class _Email(EmailRecognizer):
    """A domain counts when its ending is known, or is one of those that are kept for private use and examples.

    Signs that part an address from what stands before it in paths and queries are none of its letters.
    """

    _OWN: Final = (".example", ".test", ".local", ".internal", ".invalid", ".corp", ".lan")

    def validate_result(self, pattern_text: str) -> bool:
        domain = pattern_text.rpartition("@")[2].lower()
        return bool(_DOMAINS(domain).fqdn) or domain.endswith(self._OWN)


class _Ip(IpRecognizer):
    """Addresses as the standard library reads them, in runs no longer than one can be.

    Presidio's expression for IPv6 takes minutes for a hundred kilobytes of colons.
    """

    _V4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:/(?:[12]?\d|3[0-2])(?!\w))?(?!\w|\.\d|[+~][A-Za-z])")
    _V6: Final = re.compile(
        r"(?<![\w.])(?<![0-9A-Fa-f]:)(?<!::)[0-9A-Fa-f:.]{3,45}(?:/(?:\d\d?|1[01]\d|12[0-8])(?!\w))?(?![\w:])"
    )
    _VERSION: Final = re.compile(
        r"\b(?:(?:version|policy)(?:\s+to)?|release|build|firmware|chapter|section|clause)[\s:=\"'\-]*$|(?:\bv|§)\s*$"
        r"|\b(?:(?:headless)?chrome|chromium|crios|edga?|opr|electron|version|vivaldi)/$",
        re.IGNORECASE,
    )

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: Any = None, regex_flags: int | None = None
    ) -> list[RecognizerResult]:
        del entities, nlp_artifacts, regex_flags
        return [
            RecognizerResult(self.supported_entities[0], start, end, SURE)
            for start, end in {*self._v4(text), *self._v6(text)}
            if not self.invalidate_result(text[start:end])
        ]

    def invalidate_result(self, pattern_text: str) -> bool:
        """True for what is no address, and for one that is nobody's: a loopback, a netmask, none at all."""
        if super().invalidate_result(pattern_text):
            return True
        address = ipaddress.ip_interface(pattern_text).ip
        return address.is_loopback or address.is_unspecified or pattern_text.startswith(("0.", "255."))

    def _v4(self, text: str) -> Iterator[tuple[int, int]]:
        for match in self._V4.finditer(text):
            if not self._VERSION.search(text, max(0, match.start() - 20), match.start()):
                yield match.span()

    def _v6(self, text: str) -> Iterator[tuple[int, int]]:
        for match in self._V6.finditer(text):
            written = match[0].rstrip(".:") if not match[0].endswith("::") else match[0]
            before = 1 if written.startswith(":") and not written.startswith("::") else 0
            if written.count(":") > 1 and any(c.isdigit() for c in written):
                yield match.start() + before, match.start() + len(written)


class _Names(EntityRecognizer):
    """Names of a dictionary, whole words, whatever their case, also as they stand in addresses and names of files."""

    def __init__(self, type_: str, names: Iterable[str]) -> None:
        self._starts: dict[str, list[re.Pattern[str]]] = {}
        for name in sorted(set(names), key=len, reverse=True):
            first = re.match(r"[^\W_]+", name)
            if first is None:
                raise ConfigError(f"masking.names.{type_}: {name!r} does not begin with a letter or digit")
            parts = [re.escape(part) for part in name.split()]
            pattern = r"(?:\s+|[ ._+\-])".join(parts) + r"(?![^\W_])"
            self._starts.setdefault(first[0].casefold(), []).append(re.compile(pattern, re.IGNORECASE))
        super().__init__(supported_entities=[type_], supported_language=LANGUAGE, name=f"{type_} dictionary")

    def load(self) -> None:
        """Nothing to load."""

    def starts(self, word: str) -> bool:
        """True when a name begins with this word."""
        return word.casefold() in self._starts

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        del entities, nlp_artifacts
        found, end = [], 0
        for word in WORD.finditer(text):
            if word.start() >= end:
                for pattern in self._starts.get(word[0].casefold(), ()):
                    match = pattern.match(text, word.start())
                    if match:
                        end = match.end()
                        found.append(RecognizerResult(self.supported_entities[0], word.start(), end, SURE))
                        break
        return found


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
        self.names = [_Names(type_, names) for type_, names in settings.names.items()]
        self.types, self.has_model = settings.types, settings.ner_model is not None
        registry = RecognizerRegistry(
            recognizers=[
                _Email(patterns=_ADDRESSES, supported_entity="EMAIL"),
                CreditCardRecognizer(patterns=_CARDS, supported_entity="CARD"),
                IbanRecognizer(supported_entity="IBAN"),
                UsSsnRecognizer(supported_entity="SSN"),
                _Ip(supported_entity="IP"),
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
