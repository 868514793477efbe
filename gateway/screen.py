"""Screen: masking and the output filter in front of one call's texts, both ways.

What an agent asks is masked before it leaves; what a tool or a document has put into it is scored for signs of
injection. What comes back is filtered and masked, whole or held back window by window in a stream; arguments of tool
calls are held back whole, because half a statement cannot be judged. Without masking and without a filter there is no
screen, and nothing is parsed twice.
"""

from __future__ import annotations

import copy
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import orjson

from fusebox.records import Action, Verdict
from fusebox.rundir import write_atomic
from gateway.denied import Denied
from gateway.dialects import Ask
from gateway.dialects.base import text_of
from gateway.filter import Canaries, OutputFilter, Ruling, StreamFilter
from gateway.masking import KEY_BYTES, Masker, Session, StreamMasker
from gateway.slots import Slot, Slots

Json = dict[str, Any]
Deny = Callable[[Action, Verdict], None]
_CONTROL: Final = frozenset({
    "model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "seed",
    "temperature", "top_p", "top_k", "tool_choice", "response_format", "logit_bias", "store", "reasoning", "thinking",
})  # fmt: skip
"""Fields of a request that say how to answer, not what about."""
_OUTSIDE: Final = frozenset({"tool", "function", "tool_result", "function_call_output"})
_DATA: Final = ";base64,"


class Screens:
    """What all calls share.

    Args:
        masker: None where nothing is to be masked.
        output: None where nothing is to be filtered.
        canaries: planted in every conversation, and looked for in what comes back; None for none.
        denied: told of each refusal.
    """

    def __init__(
        self, masker: Masker | None, output: OutputFilter | None, canaries: Canaries | None, denied: Deny
    ) -> None:
        self._masker, self._output, self._canaries, self._denied = masker, output, canaries, denied

    def open(self, route: str, action: Action) -> Screen | None:
        """The screen of one call; None where none is configured."""
        if self._masker is None and self._output is None:
            return None
        session = None
        if self._masker is not None:
            session = self._masker.session(route, workflow=action.workflow, tenant=action.tenant, agent=action.agent)
        canary = self._canaries.plant(action.agent, action.workflow, action.tenant) if self._canaries else ""
        return Screen(action, session, self._output, canary, self._denied)


class Screen:
    """One call's."""

    def __init__(
        self, action: Action, session: Session | None, output: OutputFilter | None, canary: str, denied: Deny
    ) -> None:
        self._action, self._session, self._output, self._denied = action, session, output, denied
        self.canary = canary
        self._canaries = (canary,) if canary else ()
        self._threats: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """What was found, by kind, for the span: ``fusebox.mask.EMAIL``, ``fusebox.filter.sql.table``."""
        masked = self._session.counts if self._session else {}
        return {f"fusebox.mask.{kind}": n for kind, n in masked.items()} | {
            f"fusebox.filter.{rule}": n for rule, n in self._threats.items()
        }

    # --- what goes out ------------------------------------------------------------------------------------------------
    def request(self, ask: Ask) -> None:
        """Score and mask a request for a model.

        Raises:
            Denied: 403, a guard said no.
        """
        if self._output is not None:
            for text in _from_outside(ask.body):
                self._rule(self._output.content(text, self._action.agent))
        if self._session is not None:
            for name, value in ask.body.items():
                if name not in _CONTROL:
                    ask.change(name, self._mask(value))
            ask.asked = self._mask(ask.asked)

    def arguments(self, tool: str, value: Any) -> Any:
        """Filter and mask what an agent sends to a tool.

        Raises:
            Denied: 403, a guard said no.
        """
        if self._output is not None:
            self._rule(self._output.arguments(self._action.agent, tool, value, self._canaries))
        return self._mask(value)

    # --- what comes back ----------------------------------------------------------------------------------------------
    def result(self, value: Any) -> Any:
        """Score and mask what a tool gave back.

        Raises:
            Denied: 403, a guard said no.
        """
        if self._output is not None:
            self._rule(self._output.content(value if isinstance(value, str) else text_of(value), self._action.agent))
        return self._mask(value)

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
        return self._restored(self._mask(slot.value))

    def stream(self, slots: Slots) -> StreamScreen:
        """For the events of a stream."""
        return StreamScreen(self, slots)

    def text_stream(self) -> TextStream:
        """For one text that comes in pieces."""
        masker = StreamMasker(self._session) if self._session is not None else None
        filtered = StreamFilter(self._output, self._action.agent, self._canaries) if self._output is not None else None
        return TextStream(masker, filtered, self._require)

    def captured(self, value: Any) -> Any:
        """A value as a span may hold it."""
        return self._mask(value)

    def _tool_call(self, tool: str, told: Any) -> Any:
        value = _parsed(told)
        if self._output is not None:
            self._rule(self._output.arguments(self._action.agent, tool, value, self._canaries))
        value = self._restored(self._mask(value))
        return orjson.dumps(value).decode() if isinstance(told, str) and not isinstance(value, str) else value

    def _mask(self, value: Any) -> Any:
        if self._session is None:
            return value
        kept: list[str] = []
        masked = self._session.mask(_without_media(value, kept))
        self._require(masked.verdict)
        return _with_media(masked.value, kept) if kept else masked.value

    def _restored(self, value: Any) -> Any:
        return self._session.restore(value) if self._session is not None else value

    def _rule(self, ruling: Ruling) -> None:
        self._threats.update(ruling.counts)
        self._require(ruling.verdict)

    def _require(self, verdict: Verdict) -> None:
        """
        Raises:
            Denied: 403, unless it allows.
        """
        if not verdict.allowed:
            self._denied(self._action, verdict)
            code, sentence = f"{verdict.decision}_by_{verdict.guard}", f"{self._action.agent}: {verdict.reason}"
            raise Denied(HTTPStatus.FORBIDDEN, code, sentence, told={"guard": verdict.guard})


class TextStream:
    """One text that comes in pieces: masked, then filtered."""

    def __init__(
        self, masker: StreamMasker | None, filtered: StreamFilter | None, require: Callable[[Verdict], None]
    ) -> None:
        self._masker, self._filter, self._require = masker, filtered, require

    def feed(self, text: str, *, last: bool = False) -> str:
        """What may go out by now.

        Raises:
            Denied: 403, a guard said no.
        """
        if self._masker is not None:
            text = self._masker.feed(text) + (self._masker.end() if last else "")
            self._require(self._masker.verdict)
        if self._filter is not None:
            text = self._filter.feed(text) + (self._filter.end() if last else "")
            self._require(self._filter.verdict)
        return text


class StreamScreen:
    """The events of one stream: pieces go in, held-back pieces come out before their text's end."""

    def __init__(self, screen: Screen, slots: Slots) -> None:
        self._screen, self._slots = screen, slots
        self._texts: dict[str, TextStream] = {}
        self._arguments: dict[str, tuple[str, list[str]]] = {}
        self._latest: dict[str, Json] = {}

    def event(self, told: Json) -> list[Json]:
        """What may go out when ``told`` has come.

        Raises:
            Denied: 403, a guard said no.
        """
        for slot in list(self._slots.pieces(told)):
            slot.put(self._piece(slot, told) if slot.channel else self._screen.whole(slot))
        ended = self._slots.ended(told)
        return [told] if ended is None else [*self.end(ended), told]

    def end(self, beginning: str = "") -> list[Json]:
        """What is still held back in the channels whose name begins so.

        Raises:
            Denied: 403, a guard said no.
        """
        out = []
        for channel in [name for name in self._latest if name.startswith(beginning)]:
            told = self._latest.pop(channel)
            rest = self._rest(channel)
            if rest:
                out.append(self._slots.piece(told, channel, rest))
        return out

    def _piece(self, slot: Slot, told: Json) -> str:
        text = str(slot.value)
        if slot.channel not in self._latest:
            self._latest[slot.channel] = copy.deepcopy(told)
        if slot.tool is not None:
            self._arguments.setdefault(slot.channel, (slot.tool, []))[1].append(text)
            return ""
        return self._texts.setdefault(slot.channel, self._screen.text_stream()).feed(text)

    def _rest(self, channel: str) -> str:
        if channel in self._arguments:
            tool, parts = self._arguments.pop(channel)
            return str(self._screen.whole(Slot({"arguments": "".join(parts)}, "arguments", tool=tool)))
        return self._texts.pop(channel).feed("", last=True)


def mask_key(data_dir: Path) -> bytes:
    """The secret of placeholders and hashes, made at the first start and shared by all gateways of a data folder."""
    path = data_dir / "gateway_mask.key"
    if not path.exists():
        write_atomic(path, secrets.token_hex(KEY_BYTES))
    return bytes.fromhex(path.read_text().strip())


def _from_outside(body: Json) -> Iterable[str]:
    """What tools and documents have put into a conversation."""
    for message in (*_list(body.get("messages")), *_list(body.get("input"))):
        if isinstance(message, dict):
            if message.get("role") in _OUTSIDE or message.get("type") in _OUTSIDE:
                yield text_of(message)
            for part in _list(message.get("content")):
                if isinstance(part, dict) and part.get("type") in _OUTSIDE:
                    yield text_of(part)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parsed(told: Any) -> Any:
    if not isinstance(told, str):
        return told
    try:
        return orjson.loads(told)
    except orjson.JSONDecodeError:
        return told


def _without_media(value: Any, kept: list[str]) -> Any:
    """Pictures and files in base64 are no text: they stand aside while it is masked."""
    if isinstance(value, dict):
        if value.get("type") == "base64" and isinstance(value.get("data"), str):
            return {**value, "data": _aside(value["data"], kept)}
        return {name: _without_media(each, kept) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_media(each, kept) for each in value]
    if isinstance(value, str) and value.startswith("data:") and _DATA in value[:128]:
        return _aside(value, kept)
    return value


def _aside(text: str, kept: list[str]) -> str:
    kept.append(text)
    return f"\x00{len(kept) - 1}\x00"


def _with_media(value: Any, kept: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _with_media(each, kept) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_media(each, kept) for each in value]
    if isinstance(value, str) and value.startswith("\x00"):
        number = value.strip("\x00")
        return kept[int(number)] if number.isdecimal() and len(number) < 9 and int(number) < len(kept) else value
    return value
