"""Entry: one thing that an agent let its workflow remember; and what a reader is given of all of them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from fusebox.errors import BadMessage

FACT: Final = "fact"
"""Type of the entry that gives a fact a new value."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""What types and names of facts look like."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``body`` is any JSON value.

    The number of the entry that gave a fact its value is the fact's version.
    """

    type: str
    writer: str
    """Id of the agent."""
    time: float
    """Seconds since the Unix epoch."""
    trace_id: str
    span_id: str
    body: Any
    name: str = ""
    """Name of the fact; empty for any other type."""
    number: int = 0

    def dump(self) -> str:
        """JSON without the number.

        Raises:
            BadMessage: the body has no JSON form, or a name or type is none.
        """
        for word in (self.type, self.name) if self.type == FACT else (self.type,):
            if not NAME.fullmatch(word):
                raise BadMessage(f"{word!r} cannot name an entry or a fact; it must match {NAME.pattern}")
        said = {name: value for name, value in asdict(self).items() if name != "number"}
        try:
            return json.dumps(said, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise BadMessage(f"what a workflow remembers must be JSON: {error}") from error

    @staticmethod
    def load(number: int, text: str) -> Entry:
        """Read what :meth:`dump` wrote."""
        return Entry(number=number, **json.loads(text))


@dataclass(frozen=True, slots=True)
class History:
    """What a workflow remembers, oldest first; iterating gives the entries.

    ``forgotten`` counts older entries that were dropped to stay within bounds; ``newest`` is the last number given.
    """

    entries: tuple[Entry, ...] = ()
    facts: Mapping[str, Entry] = field(default_factory=dict)
    forgotten: int = 0
    newest: int = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def recall(
        self, *, type: str = "", writer: str = "", since: float = -math.inf, until: float = math.inf, text: str = "",
        last: int | None = None,
    ) -> History:  # fmt: skip
        """The entries that match everything that is given.

        Args:
            type, writer: exactly these.
            since, until: seconds since the Unix epoch; ``since`` included, ``until`` not.
            text: stands somewhere in the body's JSON or the fact's name, in upper or lower case.
            last: only so many, the newest.
        """
        sought = text.casefold()
        found = tuple(
            entry
            for entry in self.entries
            if type in ("", entry.type) and writer in ("", entry.writer) and since <= entry.time < until
            and (not sought or sought in _words(entry))
        )  # fmt: skip
        kept = found if last is None else found[max(0, len(found) - last) :]
        return History(kept, self.facts, self.forgotten, self.newest)


def _words(entry: Entry) -> str:
    return f"{entry.name} {json.dumps(entry.body, ensure_ascii=False)}".casefold()
