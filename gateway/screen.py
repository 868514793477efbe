"""Screen: masking and the output filter in front of one call's texts, both ways.

What an agent asks is masked before it leaves; what a tool or a document has put into it is scored for signs of
injection. What comes back is filtered and masked, whole or held back window by window in a stream; arguments of tool
calls are held back whole, because half a statement cannot be judged. Without masking and without a filter there is no
screen, and nothing is parsed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from fusebox.guard import deny
from fusebox.records import Action, Decision, Verdict
from gateway.denied import Denied, bad_request
from gateway.dialects import Ask
from gateway.filter import GUARD as FILTER
from gateway.filter import OutputFilter, Ruling, StreamFilter
from gateway.filter.statements import all_texts, parsed
from gateway.masking import GUARD as MASKING
from gateway.masking.placeholders import in_ids
from gateway.media import with_media, without_media
from gateway.outside import from_outside, text_of
from gateway.screen_stream import StreamScreen, TextStream
from gateway.slots import Slot, Slots

if TYPE_CHECKING:
    from gateway.masking.masker import Session
    from gateway.masking.stream import StreamMasker

Json = dict[str, Any]
Ruled = Callable[[Action, Verdict, int], None]
"""Told what a guard ruled, and how many times, for the audit log."""
_SEED: Final = "seed"
_CONTROL: Final = frozenset({
    "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", _SEED, "temperature", "top_p",
    "top_k", "logit_bias", "store",
})  # fmt: skip
"""Fields of a request that say how to answer, not what about: none of them can be masked."""


class Screen:
    """One call's."""

    def __init__(
        self, action: Action, session: Session | None, output: OutputFilter | None, canary: str, ruled: Ruled
    ) -> None:
        self._action, self._session, self._output, self._ruled = action, session, output, ruled
        self.canary = canary
        self._canaries = (canary,) if canary else ()
        self._threats: Counter[str] = Counter()
        self._remarks: Counter[str] = Counter()
        self.held: Verdict | None = None
        """What wants a person to read the call before it goes out."""

    @property
    def counts(self) -> dict[str, int]:
        """What was found, by kind, for the span: ``fusebox.mask.EMAIL``, ``fusebox.filter.sql.table``."""
        masked = self._session.counts if self._session else {}
        return {f"fusebox.mask.{kind}": n for kind, n in masked.items()} | {
            f"fusebox.filter.{rule}": n for rule, n in self._threats.items()
        }

    def close(self) -> None:
        """The call is over: have its counts audited."""
        replaced = self._session.replaced if self._session else {}
        for guard, done in ((MASKING, replaced), (FILTER, self._remarks)):
            for what, count in done.items():
                self._ruled(self._action, Verdict(Decision.ALLOW, guard, what), count)

    # --- what goes out ------------------------------------------------------------------------------------------------
    def request(self, ask: Ask, address: str = "") -> None:
        """Score and mask a request for a model; may set :attr:`held`.

        Args:
            address: path and query of one that goes to its provider as it is.

        Raises:
            Denied: 403, a guard said no; 400, the address has in it what may not leave.
        """
        if self._mask(address) != address:
            raise bad_request("the address holds what may not leave; put it into the body, where it can be masked")
        if self._output is not None:
            for text in from_outside(ask.body):
                self._ask(self._output.content(text, self._action.agent))
        if self._session is not None:
            if _in_numbers(ask.body.get("input")):
                raise bad_request("'input' is in tokens, which cannot be masked; send the text itself")
            self._mask_fields(ask)
            ask.asked = self._mask(ask.asked, again=True)

    def _mask_fields(self, ask: Ask) -> None:
        """
        Raises:
            Denied: 400, something has in it what may not leave, and would mean nothing with a placeholder.
        """
        assert self._session is not None
        fields = list(ask.body)
        if self._mask(fields) != fields:
            raise bad_request("the name of a field holds what may not leave; put it into a message")
        for name, value in ask.body.items():
            if name in _CONTROL:
                if self._mask(value) == value:
                    continue
                if name == _SEED and type(value) is int:  # a long one looks like a card by chance
                    ask.change(name, self._session.number(value))
                else:
                    raise bad_request(f"{name!r} holds what may not leave, or a number that looks like it; change it")
            elif name != "model":  # which names who is to answer
                masked = self._mask(value)
                ask.change(name, masked if masked == value else in_ids(masked))

    def arguments(self, tool: str, value: Any, also: Any = ()) -> Any:
        """Filter and mask what an agent sends to a tool; may set :attr:`held`.

        Args:
            also: how else it may be read, which is filtered, too.

        Raises:
            Denied: 403, a guard said no.
        """
        if self._output is not None:
            told = [value, also] if also else value
            self._ask(self._output.arguments(self._action.agent, tool, told, self._canaries))
        return self._mask(value)

    def masked(self, value: Any) -> Any:
        """Mask a value that the filter has passed.

        Raises:
            Denied: 403, a guard said no.
        """
        return self._mask(value)

    def require_plain(self, value: Any) -> None:
        """For arguments of a tool, which :meth:`arguments` has passed.

        Raises:
            Denied: 403, they hold in an encoding what masking would take out of a plain text.
        """
        if self._session is not None:
            self._require(self._session.encoded(text for _, text in all_texts(without_media(value))))

    # --- what comes back ----------------------------------------------------------------------------------------------
    def result(self, value: Any, also: Any = ()) -> Any:
        """Score and mask what a tool gave back.

        Args:
            also: how else it may be read, which is scored, too.

        Raises:
            Denied: 403, a guard said no.
        """
        if self._output is not None:
            told = [value, also] if also else value
            self._rule(self._output.content(text_of(told), self._action.agent))
        return self._mask(value, back=True)

    def require_whole(self, texts: list[str]) -> None:
        """For texts that go on in pieces, in each of which nothing is left.

        Raises:
            Denied: 403, a value lies across pieces.
        """
        if self._mask(texts, again=True) != texts:
            self._require(deny(MASKING, "a value lies across events, where it cannot be masked"))

    def answer(self, slots: Iterable[Slot]) -> None:
        """Filter, mask and restore the texts of a whole answer, in place.

        Raises:
            Denied: 403, a guard said no.
        """
        for slot in slots:
            slot.put(self.whole(slot))

    def whole(self, slot: Slot) -> Any:
        """One whole text of an answer, as it may go on.

        Raises:
            Denied: 403, a guard said no.
        """
        if slot.tool is not None:
            return self._tool_call(slot.tool, slot.value)
        if self._output is not None:
            self._rule(self._output.answer(self._action.agent, slot.value, self._canaries))
        shown = self._mask(slot.value, back=True)
        return shown if slot.signed else self._restored(shown)

    def said(self, value: Any) -> Any:
        """What comes back beside an answer: the words of an error, or a header.

        Raises:
            Denied: 403, a guard said no.
        """
        if self._output is not None:
            self._rule(self._output.answer(self._action.agent, text_of(value), self._canaries))
        return self._mask(value, back=True)

    def stream(self, slots: Slots) -> StreamScreen:
        """For the events of a stream."""
        return StreamScreen(self, slots)

    def text_stream(self, *, signed: bool) -> TextStream:
        """For one text that comes in pieces.

        Args:
            signed: as :attr:`gateway.slots.Slot.signed`.
        """
        masker = _stream_masker(self._session) if self._session is not None else None
        filtered = StreamFilter(self._output, self._action.agent, self._canaries) if self._output is not None else None
        restorer = self._session.restorer() if self._session is not None and not signed else None
        return TextStream(masker, filtered, restorer, self._require)

    def _tool_call(self, tool: str, told: Any) -> Any:
        value = parsed(told)
        if self._output is not None:
            self._rule(self._output.arguments(self._action.agent, tool, value, self._canaries))
        self.require_plain(value)
        value = self._restored(self._mask(value, back=True))
        return orjson.dumps(value).decode() if isinstance(told, str) and not isinstance(value, str) else value

    def _mask(self, value: Any, *, again: bool = False, back: bool = False) -> Any:
        if self._session is None:
            return value
        masked = self._session.mask(without_media(value), again=again, back=back)
        self._require(masked.verdict)
        return with_media(masked.value, value)

    def _restored(self, value: Any) -> Any:
        return self._session.restore(value) if self._session is not None else value

    def _ask(self, ruling: Ruling) -> None:
        """As :meth:`_rule`, of what has not gone out: people can be asked before it does."""
        if ruling.verdict.decision is not Decision.HOLD:
            self._rule(ruling)
            return
        self._threats.update(ruling.counts)
        self.held = self.held or ruling.verdict

    def _rule(self, ruling: Ruling) -> None:
        self._threats.update(ruling.counts)
        if ruling.verdict.allowed:
            self._remarks.update(ruling.counts)
        self._require(ruling.verdict)

    def _require(self, verdict: Verdict) -> None:
        """
        Raises:
            Denied: 403, unless it allows.
        """
        if not verdict.allowed:
            self._ruled(self._action, verdict, 1)
            code, sentence = f"{verdict.decision}_by_{verdict.guard}", f"{self._action.agent}: {verdict.reason}"
            raise Denied(HTTPStatus.FORBIDDEN, code, sentence, told={"guard": verdict.guard})


def _stream_masker(session: Session) -> StreamMasker:
    from gateway.masking.stream import StreamMasker  # loaded by now, where there is a session

    return StreamMasker(session)


def _in_numbers(value: Any) -> bool:
    """True for texts that were made tokens before they came."""
    return isinstance(value, list) and any(isinstance(each, int) or _in_numbers(each) for each in value)
