"""The screen on a stream: what comes in pieces is held back until it can be judged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fusebox.records import Verdict
from gateway.arguments import Arguments
from gateway.filter import StreamFilter
from gateway.slots import Slot, Slots

if TYPE_CHECKING:
    from gateway.masking.restoring import StreamRestorer
    from gateway.masking.stream import StreamMasker
    from gateway.screen import Screen

Json = dict[str, Any]


class TextStream:
    """One text that comes in pieces: masked, then filtered, then restored."""

    def __init__(
        self, masker: StreamMasker | None, filtered: StreamFilter | None, restorer: StreamRestorer | None,
        require: Callable[[Verdict], None],
    ) -> None:  # fmt: skip
        self._masker, self._filter, self._restorer, self._require = masker, filtered, restorer, require

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
        return text if self._restorer is None else self._restorer.feed(text, last=last)


class StreamScreen:
    """The events of one stream: pieces go in, held-back pieces come out before their text's end."""

    def __init__(self, screen: Screen, slots: Slots) -> None:
        self._screen, self._slots = screen, slots
        self._texts: dict[str, TextStream] = {}
        self._arguments: dict[str, Arguments] = {}
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
            return self._told(slot.channel, slot.tool, text)
        if slot.channel not in self._texts:
            self._texts[slot.channel] = self._screen.text_stream(signed=slot.signed)
        return self._texts[slot.channel].feed(text)

    def _told(self, channel: str, tool: str, text: str) -> str:
        """Arguments go out with the piece that makes them whole: clients read them as soon as the next call begins."""
        if not self._arguments.setdefault(channel, Arguments(tool)).feed(text):
            return ""
        del self._latest[channel]
        return self._rest(channel)

    def _rest(self, channel: str) -> str:
        if channel in self._arguments:
            told = self._arguments.pop(channel)
            return str(self._screen.whole(Slot({"arguments": told.text}, "arguments", tool=told.tool)))
        return self._texts.pop(channel).feed("", last=True)
