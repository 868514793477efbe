"""Names that the settings list: of people, projects, customers, by the type they are given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from presidio_analyzer import EntityRecognizer, RecognizerResult

from fusebox.errors import ConfigError
from gateway.masking.phones import SURE

WORD: Final = re.compile(r"[^\W_]+")


class Names(EntityRecognizer):
    """Names of a dictionary, whole words, whatever their case, also as they stand in addresses and names of files."""

    def __init__(self, type_: str, names: Iterable[str]) -> None:
        self._starts: dict[str, list[re.Pattern[str]]] = {}
        for name in sorted(set(names), key=len, reverse=True):
            first = WORD.match(name)
            if first is None:
                raise ConfigError(f"masking.names.{type_}: {name!r} does not begin with a letter or digit")
            parts = [re.escape(part) for part in name.split()]
            pattern = r"(?:\s+|[ ._+\-])".join(parts) + r"(?![^\W_])"
            self._starts.setdefault(first[0].casefold(), []).append(re.compile(pattern, re.IGNORECASE))
        super().__init__(supported_entities=[type_], name=f"{type_} dictionary")

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
