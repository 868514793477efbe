"""The filter on a stream: one window is held back, so that nothing is out before it was judged whole.

Each release judges what has gone out last and what is held together, so a threat that lies across a release is seen
before its end is out. A statement, a link or a canary longer than the window can have its beginning out by then; its
end is not. Names of images, and an image or a tag that is open, are remembered for as long as the stream lasts.
"""

from __future__ import annotations

from typing import Final

from fusebox.guard import allow
from fusebox.records import Verdict
from gateway.filter.links import left_open
from gateway.filter.output import OutputFilter
from gateway.filter.pictures import Pictures
from gateway.filter.threats import GUARD, Ruling, Threat

WINDOW: Final = 512
"""Characters held back."""

_SEEN: Final = 2048
"""Characters that have gone out and are judged again with what comes."""

_STEP: Final = 128
"""Characters that come in between two judgements, so that a stream of single letters is not judged at each."""


class StreamFilter:
    """Filters the text of one streamed answer.

    Args:
        filter_: the guard.
        agent: whose answer.
        canaries: what was planted in the agent's context.
    """

    def __init__(self, filter_: OutputFilter, agent: str, canaries: tuple[str, ...] = ()) -> None:
        self._filter, self._agent, self._canaries = filter_, agent, canaries
        self._text, self._out, self._judged = "", 0, 0
        self._open, self._pictures = "", Pictures()
        self.threats: list[Threat] = []
        """What was found so far, each kind of threat once."""
        self.verdict: Verdict = allow(GUARD)
        """A deny or hold ends the stream: nothing more is given out."""

    def feed(self, chunk: str) -> str:
        """Take the next piece; give what may go out by now (often nothing)."""
        self._text += chunk
        if not self.verdict.allowed or len(self._text) - self._judged < _STEP or len(self._text) - self._out <= WINDOW:
            return ""
        return self._release(len(self._text) - WINDOW, whole=False)

    def end(self) -> str:
        """The stream is over: give the rest."""
        return self._release(len(self._text), whole=True) if self.verdict.allowed else ""

    def _release(self, cut: int, whole: bool) -> str:
        text = self._text if whole else _up_to_a_blank(self._text, cut)
        ruling = self._filter.answer(
            self._agent, self._open + text, self._canaries, whole=whole, pictures=self._pictures
        )
        self._judged = len(self._text)
        self._note(ruling)
        if not self.verdict.allowed:
            return ""
        piece, kept = self._text[self._out : cut], self._forget(_blank_before(self._text, max(0, cut - _SEEN)))
        self._text, self._out, self._judged = self._text[kept:], cut - kept, self._judged - kept
        return piece

    def _forget(self, at: int) -> int:
        """Up to where the text is no longer needed: not into an open image or tag, unless that is very long."""
        begun = left_open(self._open + self._text[:at])
        if begun and at < _SEEN:
            return 0
        self._open = begun
        return at

    def _note(self, ruling: Ruling) -> None:
        self.verdict = ruling.verdict
        self.threats.extend(threat for threat in ruling.threats if threat not in self.threats)


def _up_to_a_blank(text: str, at_least: int) -> str:
    """Without the word that still grows: half a host is another host."""
    blank = max(text.rfind(" "), text.rfind("\n"))
    return text[:blank] if blank > at_least else text


def _blank_before(text: str, at: int) -> int:
    """Where a word ends, if that is not too far away: no sign is torn from the next one."""
    return max(text.rfind(" ", 0, at) + 1, at - WINDOW, 0)
