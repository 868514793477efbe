"""Masking of streamed text: a value split across chunks is not let out in halves.

Text is held back until it can no longer be part of a value that goes on: the last :data:`WINDOW` characters, the word
they begin in (keys and tokens are long words without blanks, of which at most :data:`LONGEST_WORD` are held), and a
value that crosses that line. Some text that has gone out stays as context for what comes.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from fusebox import happenings
from fusebox.guard import allow, deny
from fusebox.records import Verdict
from gateway.masking.masker import Session
from gateway.masking.prefilter import LONGEST_WORD
from gateway.masking.settings import GUARD
from gateway.masking.spans import Span

WINDOW: Final = 64
"""Characters that values with blanks in them have at most: cards, IBANs, phone numbers, most names."""

LONGEST_VALUE: Final = 65_536
"""A value that crosses the line is waited for as long as it has no more characters than this."""

_CONTEXT: Final = 64
_STEP: Final = 48
"""Characters that come in between two looks, so that a stream of single letters is not read at each."""


class StreamMasker:
    """Masks one stream of text of a call.

    Args:
        session: the call's masking.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._text = ""
        self._out = self._seen = 0
        self.verdict: Verdict = allow(GUARD)
        """A deny ends the stream: a value that the route blocks, a value without end, or a failure."""

    def feed(self, chunk: str) -> str:
        """Take the next piece; give what may go out by now (often nothing)."""
        self._text += chunk
        if len(self._text) - self._seen < _STEP:
            return ""
        return self._release(last=False)

    def end(self) -> str:
        """The stream is over: give the rest."""
        return self._release(last=True)

    def _release(self, last: bool) -> str:
        if not self.verdict.allowed or (not last and len(self._text) - self._out <= WINDOW):
            return ""
        try:
            return self._masked(last)
        except Exception as error:  # as in Session.mask
            happenings.emit(happenings.GUARD_FAILED, guard=GUARD, agent="", error=type(error).__name__)
            self.verdict = deny(GUARD, f"masking failed: {type(error).__name__}")
            return ""

    def _masked(self, last: bool) -> str:
        found, self._seen = self._session.spans(self._text), len(self._text)
        cut = len(self._text) if last else self._line(found)
        if not last and len(self._text) - cut > LONGEST_VALUE:
            self.verdict = deny(GUARD, f"a value has more than {LONGEST_VALUE} characters")
            return ""
        if cut <= self._out:
            return ""
        new = [span for span in found if self._out <= span.start and span.end <= cut]
        piece, at = self._text[self._out : cut], self._out
        text, blocked = self._session.replace(piece, [Span(s.start - at, s.end - at, s.type, s.score) for s in new])
        self._session.counts.update(Counter(span.type for span in new))
        if blocked:
            told = ", ".join(f"{n} {type_}" for type_, n in sorted(blocked.items()))
            self.verdict = deny(GUARD, f"this route blocks {told}", narrow=True)
            return ""
        kept = max(0, cut - _CONTEXT)
        self._text, self._out, self._seen = self._text[kept:], cut - kept, self._seen - kept
        return text

    def _line(self, found: list[Span]) -> int:
        """How far the text may go out."""
        cut = len(self._text) - WINDOW
        first = max(self._out, cut - LONGEST_WORD)
        while cut > first and not self._text[cut - 1].isspace():
            cut -= 1
        for span in reversed(found):
            if span.start < cut < span.end:
                cut = span.start
        return max(cut, self._out)
