"""Who may order and who may speak, as the journal sees it: every name that comes or goes is an entry ``operator``.

Tokens are edited by the command line, without asking watch; it looks at the lists now and then and writes down what
changed, also while it was away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from fusebox.errors import ConfigError
from fusebox.secrets_file import GATEWAY_KEYS


class Named(Protocol):
    """A list of those who have a token."""

    def names(self) -> tuple[str, ...]:
        """Everyone on it.

        Raises:
            ConfigError: the file is damaged.
        """


class VirtualKeys:
    """The gateway's keys, each named after its agent and its id."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / GATEWAY_KEYS

    def names(self) -> tuple[str, ...]:
        """Every live key. Raises: ConfigError: the file is damaged."""
        try:
            entries = json.loads(self._path.read_text())
            return tuple(f"{entry['agent']}/{id}" for id, entry in entries.items())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self._path} is not a file of keys: {error!r}") from error


class Roster:
    """Compares lists of tokens with what the journal says of them.

    Args:
        lists: by the word that describes their members (``operator``, ``principal``, ``reader``, ``virtual key``).
    """

    def __init__(self, lists: Mapping[str, Named], journal: Journal) -> None:
        self._lists, self._journal = lists, journal
        self._known: dict[str, set[str]] = {word: set() for word in lists}

    def learn(self, entry: dict[str, Any]) -> None:
        """Take in one entry of the journal."""
        if entry["kind"] == "operator":
            self._set(entry["payload"]["list"], entry["subject"], added=entry["payload"]["added"])

    def check(self) -> None:
        """Write down who came and who went. A list that cannot be read, or a broken journal, waits for next time."""
        for word, tokens in self._lists.items():
            try:
                names = set(tokens.names())
                for name in sorted(names ^ self._known[word]):
                    self._note(word, name, added=name in names)
            except (ConfigError, JournalBroken):
                continue

    def _note(self, word: str, name: str, *, added: bool) -> None:
        reason = f"{word} {'added' if added else 'removed'}"
        self._journal.append(Note("operator", "cli", name, reason, payload={"list": word, "added": added}))
        self._set(word, name, added=added)

    def _set(self, word: str, name: str, *, added: bool) -> None:
        known = self._known.setdefault(word, set())
        if added:
            known.add(name)
        else:
            known.discard(name)
