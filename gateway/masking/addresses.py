"""Addresses: of mail, and of machines.

Presidio's own e-mail recogniser asks a suffix list that is fetched at first use: ours reads the copy that comes with
the library.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Final

import tldextract
from presidio_analyzer import Pattern, RecognizerResult
from presidio_analyzer.predefined_recognizers import EmailRecognizer, IpRecognizer

from gateway.masking.phones import SURE

_LETTER: Final = r"[\w.+%'\-]"
_DOMAIN: Final = r"\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+\b"
ADDRESSES: Final = [Pattern("address", rf"(?<!{_LETTER})[.+%'\-]*\K\w{_LETTER}*@{_DOMAIN}", 0.5)]
_DOMAINS: Final = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


class Email(EmailRecognizer):
    """A domain counts when its ending is known, or is one of those that are kept for private use and examples.

    Signs that part an address from what stands before it in paths and queries are none of its letters.
    """

    _OWN: Final = (".example", ".test", ".local", ".internal", ".invalid", ".corp", ".lan")

    def validate_result(self, pattern_text: str) -> bool:
        domain = pattern_text.rpartition("@")[2].lower()
        return bool(_DOMAINS(domain).fqdn) or domain.endswith(self._OWN)


class Ip(IpRecognizer):
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
