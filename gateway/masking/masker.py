"""Masking of one call: texts and JSON on their way out, streams and answers on their way back. Fails closed.

What is counted is told by type and number only; values are in no verdict, no count and no log line.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from presidio_anonymizer import AnonymizerEngine, OperatorConfig, RecognizerResult

from fusebox import happenings
from fusebox.errors import ConfigError
from fusebox.guard import allow, deny
from fusebox.records import Verdict
from gateway.dresses import texts_in
from gateway.inner import behind_escapes
from gateway.masking.placeholders import Placeholders
from gateway.masking.recognisers import Recognisers
from gateway.masking.restoring import StreamRestorer, restored
from gateway.masking.settings import GUARD, KEY_BYTES, MaskingSettings, RoutePolicy, Treatment
from gateway.masking.spans import Span, spans, stretches

_REPLACING: Final = (Treatment.MASK, Treatment.HASH)
_TOGETHER: Final = 64
_DIGITS: Final = 9
"""Numbers of so many digits and more are looked at like text: a card number may come as a JSON number."""


@dataclass(frozen=True, slots=True)
class Masked:
    """What came of masking."""

    value: Any
    """The text or JSON value as it may go on; None when the verdict is a deny."""
    verdict: Verdict
    counts: dict[str, int] = field(default_factory=dict)
    """How many values of each type were found in it, allowed ones included."""


class Masker:
    """The guard: knows the recognisers and the policies, makes a :class:`Session` for each call. Thread-safe.

    Args:
        settings: what operators wrote.
        key: secret of the gateway, at least 32 bytes; all its processes share it.

    Raises:
        ConfigError: the key is short, or the settings ask for what is not there.
    """

    name = GUARD

    def __init__(self, settings: MaskingSettings, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ConfigError(f"the masking key must have at least {KEY_BYTES} bytes, not {len(key)}")
        self._settings, self._key = settings, key
        self._recognisers = Recognisers(settings)
        self._anonymizer = AnonymizerEngine()  # type: ignore[no-untyped-call]

    def session(self, route: str, *, workflow: str = "", tenant: str = "default", agent: str = "") -> Session:
        """The masking of one call on a route."""
        placeholders = Placeholders(self._key, tenant, workflow or secrets.token_hex(8))
        return Session(self._settings.policy(route), placeholders, self.spans, self._anonymizer, agent)

    def spans(self, text: str) -> list[Span]:
        """The values in a text, whatever is done with them."""
        return spans(text, self._recognisers)


class Session:
    """One call's masking: remembers its placeholders, so that the answer can be restored."""

    def __init__(
        self,
        policy: RoutePolicy,
        placeholders: Placeholders,
        find: Callable[[str], list[Span]],
        anonymizer: AnonymizerEngine,
        agent: str,
    ) -> None:
        self._policy, self._placeholders, self._find = policy, placeholders, find
        self._anonymizer, self._agent = anonymizer, agent
        self._values: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        """Values found in this call so far, by type."""

    @property
    def replaced(self) -> dict[str, int]:
        """How many values of each type were replaced in this call so far, and how: ``{"mask EMAIL": 2}``."""
        how = {kind: self._policy.treatment(kind) for kind in self.counts}
        return {f"{how[kind]} {kind}": count for kind, count in self.counts.items() if how[kind] in _REPLACING}

    def mask(self, value: Any, *, again: bool = False, back: bool = False) -> Masked:
        """Mask a text, or every text, long number and key of a JSON value.

        Anything that goes wrong is a deny.

        Args:
            again: it was masked before in another shape, and counted.
            back: it comes back, so what is found in it is not what :meth:`restore` may put there.
        """
        work = _Work(keep=not back)
        try:
            masked = self._walk(value, work)
        except Exception as error:  # a guard that cannot answer denies, loudly; the error's text may hold a value
            happenings.emit(happenings.GUARD_FAILED, guard=GUARD, agent=self._agent, error=type(error).__name__)
            return Masked(None, deny(GUARD, f"masking failed: {type(error).__name__}"))
        if not again:
            self.counts.update(work.counts)
        if work.blocked:
            told = ", ".join(f"{n} {type_}" for type_, n in sorted(work.blocked.items()))
            return Masked(None, deny(GUARD, f"this route blocks {told}", narrow=True), dict(work.counts))
        if work.merged:
            return Masked(None, deny(GUARD, "masking would give two fields of an object one name; rename one"))
        return Masked(masked, allow(GUARD), dict(work.counts))

    def encoded(self, texts: Iterable[str]) -> Verdict:
        """A deny where texts hold, in base64, hex or the like, what :meth:`mask` would change or refuse.

        No placeholder fits there: whoever reads it decodes it, and may check it first. The first stretch that holds
        one decides.
        """
        try:
            pieces = (piece for text in texts for inner in texts_in(text) for piece in stretches(inner))
            kept = next(filter(None, map(self._kept, pieces)), None)
        except Exception as error:  # as in mask
            happenings.emit(happenings.GUARD_FAILED, guard=GUARD, agent=self._agent, error=type(error).__name__)
            return deny(GUARD, f"masking failed: {type(error).__name__}")
        if kept is None:
            return allow(GUARD)
        self.counts.update(kept)
        told = ", ".join(f"{n} {type_}" for type_, n in sorted(kept.items()))
        return deny(GUARD, f"{told} in base64, hex or the like, where it cannot be masked", narrow=True)

    def _kept(self, text: str) -> Counter[str]:
        """How many values of each type are in it that may not leave."""
        found = {(span.type, text[span.start : span.end]) for span in self._find(text)}
        return Counter(kind for kind, _ in found if self._policy.treatment(kind) is not Treatment.ALLOW)

    def number(self, value: int) -> int:
        """What stands for a number that :meth:`mask` would change, where a number must stand."""
        return self._placeholders.number(value)

    def restore(self, value: Any) -> Any:
        """Put values back in a whole answer, where the route's policy allows that; else the answer as it is."""
        return _each_text(value, lambda text: restored(text, self._values)) if self._restores else value

    def restorer(self) -> StreamRestorer | None:
        """What puts values back in one text of a stream; None where there are none, or may be none."""
        return StreamRestorer(self._values) if self._restores else None

    @property
    def _restores(self) -> bool:
        return self._policy.restore and bool(self._values)

    def spans(self, text: str) -> list[Span]:
        """The values in a text, whatever is done with them."""
        return self._find(text)

    def replace(self, text: str, found: list[Span], *, keep: bool = False) -> tuple[str, Counter[str]]:
        """The text with what was found treated, and how many of each type are blocked by the policy.

        Args:
            keep: :meth:`restore` may put it back.
        """
        treated = [(span, self._policy.treatment(span.type)) for span in found]
        blocked = Counter(span.type for span, how in treated if how is Treatment.BLOCK)
        changed = [(span, how) for span, how in treated if how in _REPLACING]
        if not changed:
            return text, blocked
        for span, how in changed:
            if how is Treatment.MASK and keep:
                value = text[span.start : span.end]
                self._values.setdefault(self._placeholders.mask(span.type, value), value)
        parts, at = [], 0
        for first in range(0, len(changed), _TOGETHER):
            these = changed[first : first + _TOGETHER]
            parts.append(self._anonymized(text[at : these[-1][0].end], at, these))
            at = these[-1][0].end
        return "".join([*parts, text[at:]]), blocked

    def _anonymized(self, text: str, at: int, changed: Sequence[tuple[Span, Treatment]]) -> str:
        """A stretch that begins at ``at``: the engine copies all its text at each value, so it gets a few at a time."""
        results = [RecognizerResult(span.type, span.start - at, span.end - at, span.score) for span, _ in changed]
        operators = {span.type: self._operator(span.type, how) for span, how in changed}
        return str(self._anonymizer.anonymize(text, results, operators, merge_entities_with_spaces=False).text)

    def _operator(self, type_: str, how: Treatment) -> OperatorConfig:
        make = self._placeholders.mask if how is Treatment.MASK else self._placeholders.hash
        return OperatorConfig("custom", {"lambda": lambda value: make(type_, value)})

    def _walk(self, value: Any, work: _Work) -> Any:
        if isinstance(value, str):
            return self._text(behind_escapes(value, lambda text: self._inner(text, work)), work)
        if isinstance(value, dict):
            masked = {self._walk(k, work) if isinstance(k, str) else k: self._walk(v, work) for k, v in value.items()}
            work.merged = work.merged or len(masked) < len(value)
            return masked
        if isinstance(value, list | tuple):
            return [self._walk(each, work) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 10 ** (_DIGITS - 1):
            text = self._walk(str(value), work)
            return value if text == str(value) else text
        return value

    def _text(self, text: str, work: _Work) -> str:
        found = self._find(text)
        work.counts.update(span.type for span in found)
        shown, blocked = self.replace(text, found, keep=work.keep)
        work.blocked.update(blocked)
        return shown

    def _inner(self, text: str, work: _Work) -> str:
        """A text of JSON inside a text; what is not changed in it is found, and counted, in the whole."""
        within = _Work(work.keep)
        shown = str(self._walk(text, within))
        if shown != text or within.blocked:
            work.counts.update(within.counts)
            work.blocked.update(within.blocked)
        return shown


@dataclass(slots=True)
class _Work:
    keep: bool
    merged: bool = False
    """Two fields of an object have got one name."""
    counts: Counter[str] = field(default_factory=Counter)
    blocked: Counter[str] = field(default_factory=Counter)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {k: _each_text(v, change) for k, v in value.items()}
    return [_each_text(each, change) for each in value] if isinstance(value, list) else value
