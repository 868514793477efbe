"""Rules: who is asked about each agent, as ``agents.toml`` says at this moment."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from fusebox import happenings
from fusebox.errors import ConfigError
from fusebox.registry import ApprovalRule, Registry
from fusebox.secrets_file import identity
from governance.registry import load_registry

KEPT: Final = happenings.declare(
    "approval_rules_kept", logging.ERROR, "agents.toml is no good any more; people are asked as it said before"
)


class ApprovalRules:
    """Reads the file again when it has changed; not thread-safe beyond reading the same twice.

    Args:
        registry: what it says at first.
    """

    def __init__(self, agents_file: Path, registry: Registry) -> None:
        self._file, self._registry = agents_file, registry
        self._seen: object = None

    def of(self, agent: str) -> ApprovalRule:
        """Who is asked about the agent; a file that is no good changes nothing, and is said to be."""
        seen = identity(self._file)
        if seen != self._seen:
            self._seen = seen
            try:
                self._registry = load_registry(self._file)
            except ConfigError as error:
                happenings.emit(KEPT, error=str(error))
        return self._registry.approval_rule(agent)
